"""Owns what an archive is: keys, create-once writes, content addresses. No I/O here.

A store is written through `Upload`: chunks are hashed while they are spooled, then the object appears
whole under its key or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, Self, TypeAlias

import msgspec

from triton.errors import ConflictError, NotFoundError, ValidationError

#: Bytes that are read, hashed and written at a time.
CHUNK_BYTES = 256 * 1024
#: S3 allows 1,024 bytes of key, the prefix included.
MAX_KEY_LENGTH = 768

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")

Data: TypeAlias = bytes | BinaryIO | Iterable[bytes]


class Stored(msgspec.Struct, frozen=True):
    """An object that is in the archive: its key, the SHA-256 of its bytes in hex, their number."""

    key: str
    sha256: str
    size: int


class TooLargeError(ValidationError):
    """More bytes came than the caller allowed; `details` holds `max_bytes`. Nothing was stored."""

    code = "too_large"


class Upload(Protocol):
    """One object on its way in. Leaving the `with` block without `finish` drops what was written."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, chunk: bytes) -> None:
        """Adds bytes. Raises TooLargeError as soon as the limit is passed."""

    def finish(self, key: str | None = None) -> Stored:
        """Makes the object appear under `key`, or under its content's address when `key` is None.

        An object with the same bytes that is there already is success. Raises ConflictError when the
        key holds other bytes.
        """


class ArchiveStore(Protocol):
    """Objects by key. Every method raises UnavailableError when the store cannot answer."""

    def upload(self, *, max_bytes: int | None = None) -> Upload:
        """Begins one object; for callers that get their chunks one by one."""

    def put_new(self, key: str, data: Data, *, max_bytes: int | None = None) -> Stored:
        """Creates the object `key` once. Raises ConflictError, TooLargeError, ValidationError (key)."""

    def put_content(self, data: Data, *, max_bytes: int | None = None) -> Stored:
        """Stores bytes under `objects/sha256/ab/cd/HASH`. Raises TooLargeError."""

    def open(self, key: str) -> BinaryIO:
        """The object as a stream (not seekable with every store). Raises NotFoundError."""

    def read(self, key: str) -> bytes:
        """The whole object. Raises NotFoundError."""

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the object ends before. Raises NotFoundError."""

    def replace(self, key: str, data: bytes) -> None:
        """Puts an object in the place of the one that is there, if any: readers see one or the other.

        For the few keys that say what is newest. Everything else is created once.
        """

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Bytes of the object. Raises NotFoundError."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with `prefix`, in the order of their bytes."""

    def delete(self, key: str) -> None:
        """Removes the object; a key that is not there is success."""


class Puts:
    """`put_new` and `put_content` in terms of `upload`: the same for every store."""

    def upload(self, *, max_bytes: int | None = None) -> Upload:
        raise NotImplementedError

    def put_new(self, key: str, data: Data, *, max_bytes: int | None = None) -> Stored:
        check_key(key)
        return self._put(key, data, max_bytes)

    def put_content(self, data: Data, *, max_bytes: int | None = None) -> Stored:
        return self._put(None, data, max_bytes)

    def _put(self, key: str | None, data: Data, max_bytes: int | None) -> Stored:
        with self.upload(max_bytes=max_bytes) as upload:
            for chunk in chunks(data):
                upload.write(chunk)
            return upload.finish(key)


def content_key(sha256: str) -> str:
    """The key of the object with this hash: two levels of folders, 65,536 of them at most."""
    return f"objects/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def check_key(key: str) -> str:
    """`key` itself when it is safe as a path below any root and as an S3 key. Raises ValidationError."""
    parts = key.split("/")
    if len(key) > MAX_KEY_LENGTH or not all(_SEGMENT.fullmatch(part) for part in parts):
        raise ValidationError(
            f"the archive key {key[:100]!r} is not usable: use segments of letters, digits, '.', '_' "
            f"and '-' joined by '/', none beginning with '.', {MAX_KEY_LENGTH} characters at most",
            fields=[{"field": "key", "message": "not a safe archive key"}],
        )
    return key


def chunks(data: Data) -> Iterator[bytes]:
    """The bytes piece by piece, whatever they come as."""
    if isinstance(data, bytes):
        yield data
    elif hasattr(data, "read"):
        while piece := data.read(CHUNK_BYTES):
            yield piece
    else:
        yield from data


def too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the object is larger than the {max_bytes} bytes that are allowed here; nothing was stored",
        max_bytes=max_bytes,
        fields=[{"field": "body", "message": f"larger than {max_bytes} bytes"}],
    )


def conflict(key: str, expected: str, found: str) -> ConflictError:
    return ConflictError(
        f"the archive holds other bytes under {key}: it has SHA-256 {found}, the new object {expected}; "
        "objects are created once: store the new one under another key",
        key=key,
        found=found,
        expected=expected,
    )


def missing(key: str, where: str) -> NotFoundError:
    return NotFoundError(f"the archive {where} has no object {key}", key=key)
