"""Owns streams as gzip whose work is shared: a piece is compressed once for everybody who is sent it.

Each piece becomes blocks of deflate that end with a full flush: they refer to nothing before them, so they
may stand in any stream, after whatever it had so far. A stream is then a gzip header, blocks, and the
checksum of all at its end. What is lost is the reference to earlier pieces: one event alone shrinks little,
a tick of twenty as much as with a compressor of its own. Nothing is shared between pieces, so the length of
what one tenant is sent tells nothing of another's.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from triton.feed.contract import Stream, Write
from triton.feed.hub import Closing

#: Bytes of pieces and of their blocks that are kept: some ticks of the busiest streams.
KEPT: Final = 8 * 1024 * 1024
#: zlib's level.
LEVEL: Final = 3
#: No name, no time, any system.
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
#: The last block, which is empty.
_LAST: Final = b"\x03\x00"
_RAW: Final = -15
_CODING: Final = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?", re.I)


class Blocks:
    """Compressed pieces, the latest used of them kept for who is sent the same. Not for several threads."""

    def __init__(self, *, level: int = LEVEL, kept: int = KEPT) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, _RAW)
        self._most = kept
        self._size = 0
        self._blocks: OrderedDict[bytes, bytes] = OrderedDict()

    def of(self, piece: bytes) -> bytes:
        """The piece as deflate that may follow anything."""
        found = self._blocks.get(piece)
        if found is not None:
            self._blocks.move_to_end(piece)
            return found
        made = self._deflate.compress(piece) + self._deflate.flush(zlib.Z_FULL_FLUSH)
        self._blocks[piece] = made
        self._size += len(piece) + len(made)
        while self._size > self._most:
            old, block = self._blocks.popitem(last=False)
            self._size -= len(old) + len(block)
        return made


class GzipStream:
    """A stream whose pieces are compressed."""

    def __init__(self, stream: Stream, blocks: Blocks) -> None:
        self._stream = stream
        self._blocks = blocks
        self._check = 0
        self._size = 0

    @property
    def write(self) -> Write | None:
        return self._stream.write

    @write.setter
    def write(self, write: Write | None) -> None:
        self._stream.write = None if write is None else self._compressed(write)

    def _compressed(self, write: Write) -> Write:
        def compressed(piece: bytes) -> bool:
            sent = write(self._blocks.of(piece))
            if sent:
                self._count(piece)
            return sent

        return compressed

    async def pieces(self) -> AsyncIterator[bytes]:
        begin = _HEADER
        async for piece in self._stream.pieces():
            self._count(piece)
            yield begin + self._blocks.of(piece)
            begin = b""
        size = self._size % 2**32
        yield begin + _LAST + self._check.to_bytes(4, "little") + size.to_bytes(4, "little")

    def _count(self, piece: bytes) -> None:
        self._check = zlib.crc32(piece, self._check)
        self._size += len(piece)

    def close_for(self, reason: Closing) -> None:
        self._stream.close_for(reason)

    def close(self) -> None:
        self._stream.close()


def wants_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding takes gzip; without one nothing is compressed."""
    given: dict[str, float] = {}
    for part in accepted.split(","):
        if (found := _CODING.fullmatch(part)) is not None:
            given[found[1].lower().removeprefix("x-")] = _quality(found[2])
    return given.get("gzip", given.get("*", 0.0)) > 0


def _quality(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0
