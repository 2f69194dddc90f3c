"""Owns entries of the log as they came from the wire: one at a time, or a page of them as columns. Pure.

Whoever reads many entries works on columns: a check or a copy of one costs little more than it does for
one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from triton.errors import HoleError
from triton.events.codec import decode_entry, digest_of, position_of, record_of
from triton.events.envelope import FIELDS, Event

#: Entry ids and their flat lists name, value, name, value, ...
Raw: TypeAlias = Sequence[tuple[bytes, Sequence[bytes]]]
_NAMES: Final = list(FIELDS)
_encode: Final = msgspec.json.Encoder().encode


class Entry(NamedTuple):
    """One raw entry: what hashes and archives are made of, and events are decoded from."""

    partition: int
    position: int
    fields: Sequence[bytes]

    def value(self, field: int) -> bytes:
        """What one field holds; `field` is its place among FIELDS (`triton.events.envelope.AT`, say)."""
        return value_in(self.fields, field)

    def event(self) -> Event:
        """Raises ForeignEntryError, DecodeError."""
        return decode_entry(self.partition, b"%d-0" % self.position, self.fields)

    def record(self) -> bytes:
        return record_of(self.position, self.fields)

    def digest(self) -> str:
        return digest_of(self.record())


def value_in(fields: Sequence[bytes], field: int) -> bytes:
    """The value of a field in the flat list name, value, name, value, ..."""
    return fields[2 * field + 1]


class Page(msgspec.Struct, frozen=True):
    """Entries in order: their positions, and for each name of `FIELDS` the values of all of them."""

    partition: int
    positions: Sequence[int]
    columns: Sequence[Sequence[bytes]]

    @property
    def size(self) -> int:
        return len(self.positions)

    @property
    def weight(self) -> int:
        """Bytes of their data: the rest of an entry is small."""
        return sum(map(len, self.columns[-1]))

    def entry(self, index: int) -> Entry:
        """The one at an index, as from the wire."""
        named = zip(FIELDS, self.columns, strict=True)
        fields = [part for name, column in named for part in (name, column[index])]
        return Entry(self.partition, self.positions[index], fields)

    def part(self, begin: int, end: int) -> Page:
        """Those from one index up to before another."""
        columns = [column[begin:end] for column in self.columns]
        return Page(self.partition, self.positions[begin:end], columns)


def page_of(partition: int, after: int, raw: Raw) -> Page:
    """A raw reply of at least one entry that must continue after a position.

    Raises HoleError, ForeignEntryError.
    """
    count = len(raw)
    positions = range(after + 1, after + 1 + count)
    ids, fields = zip(*raw, strict=True)
    try:
        table: list[tuple[Any, ...]] = list(zip(*fields, strict=True))
    except ValueError:  # not all have the same number of fields
        table = []
    if (
        len(table) != 2 * len(FIELDS)
        or any(names.count(name) != count for names, name in zip(table[::2], FIELDS, strict=True))
        or b",".join(ids) != _encode(list(positions))[1:-1].replace(b",", b"-0,") + b"-0"
    ):
        dense(partition, after, raw)  # raises with its reason
        raise AssertionError("a page that is no page, although each of its entries is in order")
    return Page(partition, positions, table[1::2])


def dense(partition: int, after: int, raw: Raw) -> list[Entry]:
    """Entries of a raw reply that must continue after a position.

    Raises HoleError, ForeignEntryError.
    """
    entries = []
    expected = after
    for entry_id, fields in raw:
        expected += 1
        position = position_of(entry_id)
        if fields[::2] != _NAMES:
            decode_entry(partition, entry_id, fields)  # raises ForeignEntryError with its reason
        if position != expected:
            raise HoleError(
                f"partition {partition} holds {position} after {expected - 1}: "
                f"{expected} to {position - 1} are missing",
                partition=partition,
                position=expected,
            )
        entries.append(Entry(partition, position, fields))
    return entries
