"""Owns the archive in an S3 bucket: conditional single PUTs, so one writer creates an object.

The bucket's server must honour `If-None-Match: *`; one that ignores it silently overwrites.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import IO, Any, BinaryIO, NamedTuple, Self, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from triton.archive import store
from triton.archive.store import Stored
from triton.errors import ConfigurationError, NotFoundError, TritonError, UnavailableError

#: Bytes of an upload that stay in memory; more go to a temporary file.
SPOOL_BYTES = 8 * 1024 * 1024
#: Tries of a PUT that answers 409 (another conditional write of the key is under way).
CONFLICT_TRIES = 6

#: What a lock is for: the evidence.
_LOCKED = "log/"
_MISSING = {"404", "NoSuchKey", "NotFound"}
_REFUSED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"}


def connect(endpoint_url: str | None, region: str | None) -> Any:
    """A boto3 S3 client. Servers other than AWS are addressed by path: their names have no bucket part."""
    options: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": 4}}
    try:
        client = boto3.client(
            "s3", endpoint_url=endpoint_url, region_name=region, config=Config(**options)
        )
        if "amazonaws.com" not in client.meta.endpoint_url:
            config = Config(
                **options,
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            client = boto3.client(
                "s3", endpoint_url=endpoint_url, region_name=region, config=config
            )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"the S3 client cannot be set up ({error}): check TRITON_ARCHIVE_URL and the AWS credentials",
            setting="archive_url",
        ) from error
    return client


class Lock(NamedTuple):
    """S3 Object Lock: nobody can change or remove an object for so many days. `mode` is GOVERNANCE (who has
    the right may lift it) or COMPLIANCE (nobody may). The bucket must have been made with Object Lock."""

    days: int
    mode: str = "GOVERNANCE"


class S3Archive(store.Puts):
    """Objects below `prefix` in a bucket that exists. `client` is a boto3 S3 client.

    `lock` is put on what is created below `log/`: segments, manifests, tiles, heads and keys. Documents and
    messages stay free to be deleted.
    """

    def __init__(
        self, client: Any, bucket: str, prefix: str = "", *, lock: Lock | None = None
    ) -> None:
        self.client = client
        self._lock = lock
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}"

    def upload(self, *, max_bytes: int | None = None) -> S3Upload:
        return S3Upload(self, max_bytes)

    def open(self, key: str) -> BinaryIO:
        return self._get(key)

    def _get(self, key: str, **options: str) -> BinaryIO:
        with self._explained(key):
            body = self.client.get_object(Bucket=self.bucket, Key=self._name(key), **options)[
                "Body"
            ]
        return io.BufferedReader(_Body(body, self, key), store.CHUNK_BYTES)

    def read(self, key: str) -> bytes:
        with self.open(key) as stream:
            return stream.read()

    def read_range(self, key: str, offset: int, size: int) -> bytes:
        if size <= 0:
            return b""
        try:
            with self._get(key, Range=f"bytes={offset}-{offset + size - 1}") as stream:
                return stream.read()
        except _BeyondError:
            return b""

    def replace(self, key: str, data: bytes) -> None:
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with self._explained(None):
            self.client.put_object(
                Bucket=self.bucket, Key=self._name(key), Body=data, ChecksumSHA256=checksum
            )

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except NotFoundError:
            return False
        return True

    def size(self, key: str) -> int:
        with self._explained(key):
            answer = self.client.head_object(Bucket=self.bucket, Key=self._name(key))
        return int(answer["ContentLength"])

    def list(self, prefix: str = "") -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2")
        with self._explained(None):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for entry in page.get("Contents", ()):
                    yield str(entry["Key"]).removeprefix(self.prefix)

    def delete(self, key: str) -> None:
        with self._explained(None):
            self.client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def create(self, key: str, body: IO[bytes], sha256: str, size: int) -> None:
        """One conditional PUT. Raises ConflictError when the key holds other bytes."""
        name = self._name(key)
        options: dict[str, Any] = {}
        if self._lock is not None and key.startswith(_LOCKED):
            until = datetime.now(UTC) + timedelta(days=self._lock.days)
            options = {"ObjectLockMode": self._lock.mode, "ObjectLockRetainUntilDate": until}
            options["ChecksumAlgorithm"] = "SHA256"  # such a PUT must name it
        for turn in range(CONFLICT_TRIES):
            body.seek(0)
            try:
                with self._explained(None):
                    self.client.put_object(
                        Bucket=self.bucket,
                        Key=name,
                        Body=body,
                        ContentLength=size,
                        ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                        IfNoneMatch="*",
                        **options,
                    )
            except _ExistsError:
                self._compare(key, sha256)
            except _BusyError:
                time.sleep(0.05 * 2**turn)
                continue
            return
        raise UnavailableError(
            f"other writers keep {self.name} busy at {key}; try again later", key=key
        )

    def _compare(self, key: str, sha256: str) -> None:
        found = hashlib.sha256()
        with self.open(key) as stream:
            for chunk in store.chunks(stream):
                found.update(chunk)
        if found.hexdigest() != sha256:
            raise store.conflict(key, sha256, found.hexdigest())

    def _name(self, key: str) -> str:
        return self.prefix + store.check_key(key)

    @contextlib.contextmanager
    def _explained(self, key: str | None) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._translate(error, key) from error
        except BotoCoreError as error:
            raise UnavailableError(f"the archive {self.name} did not answer: {error}") from error

    def _translate(self, error: ClientError, key: str | None) -> TritonError:
        """What S3 answered as one of our errors."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 412 or code == "PreconditionFailed":
            return _ExistsError()
        if status == 409 or code == "ConditionalRequestConflict":
            return _BusyError()
        if status == 416 or code == "InvalidRange":
            return _BeyondError()
        if key is not None and code in _MISSING:
            return store.missing(key, self.name)
        if code in _REFUSED:
            return ConfigurationError(
                f"the archive {self.name} refused ({code}); check TRITON_ARCHIVE_URL and the AWS "
                "credentials",
                setting="archive_url",
            )
        return UnavailableError(f"the archive {self.name} answered {code or status}: {error}")


class S3Upload:
    """One object on its way into the bucket; see `store.Upload`."""

    def __init__(self, archive: S3Archive, max_bytes: int | None) -> None:
        self._archive = archive
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spool.close()

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._max_bytes is not None and self._size > self._max_bytes:
            raise store.too_large(self._max_bytes)
        self._hash.update(chunk)
        try:
            self._spool.write(chunk)
        except OSError as error:
            raise UnavailableError(
                f"no room for an upload's temporary file ({error.strerror}); free space or set TMPDIR"
            ) from error

    def finish(self, key: str | None = None) -> Stored:
        sha256 = self._hash.hexdigest()
        key = store.content_key(sha256) if key is None else key
        self._archive.create(key, cast("IO[bytes]", self._spool), sha256, self._size)
        return Stored(key=key, sha256=sha256, size=self._size)


class _ExistsError(TritonError):
    """The conditional PUT lost: the key has an object."""

    def __init__(self) -> None:
        super().__init__("The key exists.")


class _BusyError(TritonError):
    """Another conditional PUT of the key is under way."""

    def __init__(self) -> None:
        super().__init__("The key is being written.")


class _BeyondError(TritonError):
    """A range begins after the object's end."""

    def __init__(self) -> None:
        super().__init__("The range is not in the object.")


class _Body(io.RawIOBase):
    """An object's bytes as they arrive, with the network's failures translated."""

    def __init__(self, body: Any, archive: S3Archive, key: str) -> None:
        self._body = body
        self._archive = archive
        self._key = key

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        try:
            piece = self._body.read(len(view))
        except Exception as error:
            # urllib3's, http.client's and botocore's errors have no common root.
            raise UnavailableError(
                f"reading {self._key} from the archive {self._archive.name} broke off: {error}"
            ) from error
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._body.close()
        super().close()
