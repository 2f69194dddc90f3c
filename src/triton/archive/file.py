"""Owns the archive in a folder: safe under races, kill and power loss.

An object is written to `.incoming/`, flushed to the disk, then linked to its name: `link` fails when
the name exists, so exactly one writer creates it and no reader ever sees half of it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from triton import disk
from triton.archive import store
from triton.archive.store import Stored
from triton.errors import ConfigurationError, TritonError, UnavailableError, ValidationError

INCOMING = ".incoming"
#: What temporary files begin with: the sweep touches nothing else.
_PREFIX = "upload-"
#: Seconds after which a file in `.incoming` belongs to a writer that died.
STALE_SECONDS = 24 * 3600


class FileArchive(store.Puts):
    """Objects below one absolute folder, which is created when it is missing."""

    def __init__(self, root: Path) -> None:
        # An empty or relative root would mean the working directory.
        if not root.is_absolute() or root == Path(root.anchor):
            raise ConfigurationError(
                f"the archive folder is {str(root)!r}; expected an absolute path of a folder of its own",
                setting="archive_url",
            )
        self.root = root
        with _explained(root):
            self._incoming().mkdir(parents=True, exist_ok=True)
            self._sweep()

    def upload(self, *, max_bytes: int | None = None) -> FileUpload:
        return FileUpload(self, max_bytes)

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        with _explained(self.root, key):
            return path.open("rb")

    def read(self, key: str) -> bytes:
        with self.open(key) as stream, _explained(self.root, key):
            return stream.read()

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        with self.open(key) as stream, _explained(self.root, key):
            stream.seek(offset)
            return stream.read(size)

    def replace(self, key: str, data: bytes) -> None:
        path = self._path(key)
        file, temporary = self.temporary()
        try:
            with _explained(self.root):
                with file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                disk.make_folders(path.parent)
                temporary.replace(path)
                disk.sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        with _explained(self.root, key):
            return self._path(key).is_file()

    def size(self, key: str) -> int:
        with _explained(self.root, key):
            return self._path(key).stat().st_size

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = self.root / prefix.rpartition("/")[0]
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise ValidationError(f"the archive prefix {prefix!r} leaves the archive", fields=[])
        found: list[str] = []
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name != INCOMING]
            found += [Path(parent, name).relative_to(self.root).as_posix() for name in names]
        yield from sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _explained(self.root, key):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                disk.sync_folder(path.parent)

    def link(self, source: Path, key: str, sha256: str) -> None:
        """Gives a finished file its name. Raises ConflictError when the name holds other bytes."""
        target = self._path(key)
        with _explained(self.root):
            disk.make_folders(target.parent)
            try:
                os.link(source, target)
            except FileExistsError:
                with target.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
                if found != sha256:
                    raise store.conflict(key, sha256, found) from None
            # Also after a lost race: the winner may not have come this far yet.
            disk.sync_folder(target.parent)

    def temporary(self) -> tuple[BinaryIO, Path]:
        """A new file in `.incoming`, open for writing."""
        with _explained(self.root):
            self._incoming().mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=self._incoming())
            return os.fdopen(handle, "wb"), Path(name)

    def _path(self, key: str) -> Path:
        return self.root / store.check_key(key)

    def _incoming(self) -> Path:
        return self.root / INCOMING

    def _sweep(self) -> None:
        oldest = time.time() - STALE_SECONDS
        for path in self._incoming().glob(f"{_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


class FileUpload:
    """One object on its way into the folder; see `store.Upload`."""

    def __init__(self, archive: FileArchive, max_bytes: int | None) -> None:
        self._archive = archive
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._file, self._path = archive.temporary()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._max_bytes is not None and self._size > self._max_bytes:
            raise store.too_large(self._max_bytes)
        self._hash.update(chunk)
        with _explained(self._archive.root):
            self._file.write(chunk)

    def finish(self, key: str | None = None) -> Stored:
        sha256 = self._hash.hexdigest()
        key = store.content_key(sha256) if key is None else key
        with _explained(self._archive.root):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._archive.link(self._path, key, sha256)
        return Stored(key=key, sha256=sha256, size=self._size)


@contextlib.contextmanager
def _explained(root: Path, key: str | None = None) -> Iterator[None]:
    """Turns what the operating system says into one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise _translate(error, root, key) from error


def _translate(error: OSError, root: Path, key: str | None) -> TritonError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if key is not None and isinstance(error, (FileNotFoundError, IsADirectoryError)):
        return store.missing(key, str(root))
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UnavailableError(
            f"the archive {root} has no room left ({reason}); free space there and try again",
            folder=str(root),
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return ConfigurationError(
            f"the archive {root} is not a folder that this user may read and write ({reason}); "
            "change its owner or set TRITON_ARCHIVE_URL to another folder",
            setting="archive_url",
            folder=str(root),
        )
    return UnavailableError(f"the archive {root} failed: {reason}", folder=str(root))
