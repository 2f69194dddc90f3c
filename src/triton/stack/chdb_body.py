"""Owns the reading of a request's body: undoes its encoding, within a limit of bytes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterable, Callable
from typing import Any

from triton.stack.chdb_query import ClickHouseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY_LIMIT_BYTES = 256 * 1024 * 1024


def _lz4() -> Any:
    # clickhouse-connect brings lz4 up to Python 3.13, and offers it as an encoding only then.
    import lz4.frame  # type: ignore[import-untyped]

    return lz4.frame.LZ4FrameDecompressor()


DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
    "zstd": zstd.ZstdDecompressor,
    "lz4": _lz4,
}


async def read_body(
    chunks: AsyncIterable[bytes], encoding: str, *, limit: int = BODY_LIMIT_BYTES
) -> bytes:
    """The decoded body. Raises ClickHouseError when it is longer than `limit`, encoded or decoded."""
    raw = bytearray()
    async for chunk in chunks:
        raw += chunk
        if len(raw) > limit:
            raise _too_large(limit)
    if encoding in ("", "identity"):
        return bytes(raw)
    if encoding not in DECODERS:
        known = ", ".join(DECODERS)
        raise ClickHouseError(
            48,
            f"Code: 48. DB::Exception: Content-Encoding {encoding} is not one of {known}."
            " (NOT_IMPLEMENTED)",
        )
    return decode(bytes(raw), encoding, limit=limit)


def decode(raw: bytes, encoding: str, *, limit: int = BODY_LIMIT_BYTES) -> bytes:
    """Decompresses, one byte beyond `limit` at most, so that a small bomb stays small."""
    content = b""
    try:
        while raw:  # a body may be several frames, one after the other
            decoder = DECODERS[encoding]()
            content += decoder.decompress(raw, limit + 1 - len(content))
            if len(content) > limit:
                raise _too_large(limit)
            if not decoder.eof:
                raise EOFError("it ends in the middle")
            raw = decoder.unused_data or b""
    except ClickHouseError:
        raise
    except Exception as error:  # each library has an exception of its own
        raise ClickHouseError(
            354,
            f"Code: 354. DB::Exception: The body is not {encoding}: {error} (ZLIB_INFLATE_FAILED)",
        ) from error
    return content


def _too_large(limit: int) -> ClickHouseError:
    return ClickHouseError(
        307, f"Code: 307. DB::Exception: The body is longer than {limit} bytes. (TOO_MANY_BYTES)"
    )
