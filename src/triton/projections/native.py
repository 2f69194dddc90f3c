"""Owns rows as blocks of ClickHouse's Native format: by column, and the least work for its server. Pure.

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

#: Of the columns that are no texts.
_TYPES: Final = {
    "partition": "UInt32",
    "position": "UInt64",
    "version": "UInt32",
    "attempt": "UInt32",
    "at": "DateTime64(6, 'UTC')",
    "schema": "UInt16",
}


def block(rows: Rows) -> bytes:
    """The rows with all of `COLUMNS`; their data in the form of `text`."""
    size = rows.size
    columns = (
        _numbers("I", [rows.page.partition]) * size,
        _numbers("Q", rows.page.positions),
        _texts(rows.job),
        _numbers("I", rows.version),
        _texts(rows.kind),
        _numbers("I", rows.attempt),
        _numbers("q", rows.at),
        *map(_texts, (rows.by, rows.tenant, rows.queue)),
        *map(_texts, (rows.causation, rows.correlation, rows.trace)),
        _numbers("H", rows.schema),
        b"".join([datum.shown for datum in rows.data]),
    )
    begin = text_length(len(COLUMNS)) + text_length(size)
    return begin + b"".join(chain.from_iterable(zip(_HEADS, columns, strict=True)))


def text(written: bytes) -> bytes:
    """One text of a column."""
    return text_length(len(written)) + written


def _numbers(code: str, column: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(column)}{code}", *column)


def _texts(column: Sequence[bytes]) -> bytes:
    lengths = list(map(len, column))
    if lengths.count(lengths[0]) == len(lengths):
        length = text_length(lengths[0])
        return length + length.join(column)
    return b"".join(chain.from_iterable(zip(map(text_length, lengths), column, strict=True)))


@lru_cache(maxsize=65_536)
def text_length(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


#: What stands before the values of each column.
_HEADS: Final = [
    text(name.encode()) + text(_TYPES.get(name, "String").encode()) for name in COLUMNS
]
