"""Owns rows as a block of ClickHouse's Native format: by column, and the least work for its server. Pure.

A block is its numbers of columns and rows, then for each column its name, its type and all its values.
Numbers are little-endian; a text is its length, seven bits a byte, and its bytes. The server converts what
its table has in another type (LowCardinality).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from triton.projections.rows import COLUMNS, Rows

#: So many texts are remembered before all are forgotten.
_REMEMBERED: Final = 20_000
#: Of the columns that are no texts.
_TYPES: Final = {
    "partition": "UInt32",
    "position": "UInt64",
    "version": "UInt32",
    "attempt": "UInt32",
    "at": "DateTime64(6, 'UTC')",
    "schema": "UInt16",
}


class Texts(dict[bytes, bytes]):
    """A text -> the same as one value of a column; one per projector."""

    def __missing__(self, raw: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        written = self[raw] = _text(raw)
        return written


class Blocks:
    """All rows of a batch: one block of them, or several where a request would be too large."""

    def __init__(self, texts: Texts, most: int) -> None:
        """`most` bytes of data stand in a block, unless a row alone has more."""
        self.size = 0
        self._texts = texts
        self._most = most
        self._left = most
        self._block = Block(texts)
        self._bodies: list[bytes] = []

    def add(self, rows: Rows) -> None:
        """Put these behind the others."""
        weight = sum(map(len, rows.shown))
        if weight > self._most and rows.size > 1:
            half = rows.size // 2
            self.add(rows.part(0, half))
            self.add(rows.part(half, rows.size))
            return
        if weight > self._left:
            self._end()
        self._block.add(rows)
        self.size += rows.size
        self._left -= weight

    def bodies(self) -> list[bytes]:
        """What is sent, in order; nothing of no rows. Nothing is added after it."""
        self._end()
        return self._bodies

    def _end(self) -> None:
        if self._block.size:
            self._bodies.append(self._block.body())
        self._block = Block(self._texts)
        self._left = self._most


class Block:
    """Rows with all of `COLUMNS`. One for many pages, because its server would put them together again."""

    def __init__(self, texts: Texts) -> None:
        self.size = 0
        self._texts = texts
        self._columns = [[head] for head in _HEADS]

    def add(self, rows: Rows) -> None:
        """Put these behind the others."""
        size = rows.size
        columns = (
            _numbers("I", [rows.page.partition]) * size,
            _numbers("Q", rows.page.positions),
            _texts(rows.job),
            _numbers("I", rows.version),
            self._few(rows.kind),
            _numbers("I", rows.attempt),
            _numbers("q", rows.at),
            *map(self._few, (rows.by, rows.tenant, rows.queue)),
            *map(_texts, (rows.causation, rows.correlation, rows.trace)),
            _numbers("H", rows.schema),
            _texts(rows.shown),
        )
        for parts, values in zip(self._columns, columns, strict=True):
            parts.append(values)
        self.size += size

    def body(self) -> bytes:
        """What is sent of at least one row."""
        begin = _length(len(COLUMNS)) + _length(self.size)
        return b"".join((begin, *chain.from_iterable(self._columns)))

    def _few(self, column: Sequence[bytes]) -> bytes:
        """Texts of which many are the same."""
        return b"".join(map(self._texts.__getitem__, column))


def _text(written: bytes) -> bytes:
    return _length(len(written)) + written


def _numbers(code: str, column: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(column)}{code}", *column)


def _texts(column: Sequence[bytes]) -> bytes:
    lengths = list(map(len, column))
    if lengths.count(lengths[0]) == len(lengths):
        length = _length(lengths[0])
        return length + length.join(column)
    written = map(_SHORT.__getitem__ if max(lengths) < len(_SHORT) else _length, lengths)
    return b"".join(chain.from_iterable(zip(written, column, strict=True)))


@lru_cache(maxsize=65_536)
def _length(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


#: The lengths that nearly all texts have.
_SHORT: Final = [_length(number) for number in range(4096)]
#: What stands before the values of each column.
_HEADS: Final = [
    _text(name.encode()) + _text(_TYPES.get(name, "String").encode()) for name in COLUMNS
]
