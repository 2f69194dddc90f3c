"""Owns the document's bytes while they are read: seekable, hashed, within the limit."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import msgspec

from triton.extraction import errors

CHUNK_BYTES = 256 * 1024
#: Bytes of a document that stay in memory; a larger one goes to a temporary file.
SPOOL_BYTES = 8 * 1024 * 1024


class Source(msgspec.Struct, frozen=True):
    """A seekable stream at any place, and the SHA-256 (hex) and number of its bytes."""

    stream: BinaryIO
    sha256: str
    size: int

    def head(self, size: int) -> bytes:
        self.stream.seek(0)
        return self.stream.read(size)

    def read(self) -> bytes:
        self.stream.seek(0)
        return self.stream.read()

    def rewound(self) -> BinaryIO:
        self.stream.seek(0)
        return self.stream


@contextlib.contextmanager
def opened(data: BinaryIO | bytes, max_bytes: int) -> Iterator[Source]:
    """The document as a Source: copied, so that no parser reads from a slow or one-way stream.

    Raises ExtractionError `document_too_large` at the first byte too many, `document_empty` without one.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    digest = hashlib.sha256()
    size = 0
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise errors.too_large(
                    f"The document is larger than the {max_bytes:,} bytes that are allowed; "
                    "split it and submit the parts.",
                    max_bytes=max_bytes,
                )
            digest.update(chunk)
            spool.write(chunk)
        if not size:
            raise errors.empty("The document is empty: it has no bytes; upload it again.")
        yield Source(cast("BinaryIO", spool), digest.hexdigest(), size)
