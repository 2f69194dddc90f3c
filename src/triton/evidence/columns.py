"""Owns the content of a segment's block: the records of entries by columns, and back, byte for byte. Pure.

Entries of one kind are alike in a field, not from one field to the next: by columns they take little more
than half of what they take one behind the other. docs/decisions/0002-evidence.md has the layout. Blocks of
the first format, records behind their lengths, are read as well.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from triton.errors import EvidenceError
from triton.events.envelope import AT, DATA, FIELDS, JOB, TYPE
from triton.evidence import weaving

MAGIC: Final = b"TRC2"
#: Of a block whose values stand in the order of jobs, with ids and digests apart.
WOVEN: Final = b"TRC3"
#: Records, and bytes of them, that a block has at most: what is said to be more was not written by us.
MAX_COUNT: Final = 1 << 20
MAX_BYTES: Final = 1 << 28

#: Of a record, before it, in a block of the first format.
LENGTH: Final = struct.Struct(">I")

_HEADER: Final = struct.Struct(">4sIQ")
_MARKED: Final = struct.Struct(">cI")
#: One value for all; values of one length; lengths of one byte, of four; decimal differences, as a column.
_ONE, _FIXED, _SHORT, _LONG, _STEPS = b"1", b"F", b"B", b"W", b"D"
#: Times of a woven block: the first one, and the steps to the others as four bytes each, by planes.
_TIMES: Final = b"T"
_TIME: Final = struct.Struct(">Q")
_encode: Final = msgspec.msgpack.Encoder().encode


def pack(first: int, columns: Sequence[Sequence[bytes]]) -> bytes:
    """The block of entries from position `first` on: for each name of `FIELDS` the values of all of them."""
    types = columns[TYPE]
    parts = [_HEADER.pack(MAGIC, len(types), first)]
    for index, values in enumerate(columns):
        if index == AT and (steps := _steps(values)) is not None:
            parts += (_STEPS, *_packed(steps))
        elif index == DATA:
            parts += _packed([values[at] for at in _by_type(types)])
        else:
            parts += _packed(values)
    return b"".join(parts)


def weave(first: int, columns: Sequence[Sequence[bytes]]) -> bytes:
    """The same as `pack`, much smaller for few events and dearer to make."""
    order = _by_job(columns[JOB])
    types = [columns[TYPE][at] for at in order]
    parts: list[bytes] = [*_packed(columns[JOB])]
    for index, values in enumerate(columns):
        if index == AT:
            parts += _times(values)
        elif index == DATA:
            parts += _packed([values[order[at]] for at in _by_type(types)])
        elif index != JOB:
            parts += _packed([values[at] for at in order])
    head = _HEADER.pack(WOVEN, len(types), first)
    return head + weaving.cut(b"".join(parts))


def by_columns(block: bytes) -> bool:
    """Whether a block is of this format, or of a later one; before, records stood behind their lengths."""
    return block[:3] == MAGIC[:3]


def unpack(block: bytes) -> list[bytes]:
    """The records of a block of any format, in order. Raises EvidenceError."""
    try:
        if block[:4] == MAGIC:
            return _unpacked(block)
        if block[:4] == WOVEN:
            return _unwoven(block)
        if by_columns(block):
            raise EvidenceError(
                f"a block of a segment has the format {block[:4]!r}, which this version of Triton does not "
                "know: read it with the version that wrote it, or a later one"
            )
        return list(_behind_lengths(block))
    except (struct.error, ValueError, IndexError) as error:
        raise EvidenceError(
            f"this is no whole block of a segment of Triton's log: {error}; read it from another copy of "
            "the archive"
        ) from error


def _unpacked(block: bytes) -> list[bytes]:
    count, first = _begun(block)
    at = _HEADER.size
    columns: list[Sequence[bytes]] = []
    for index in range(len(FIELDS)):
        steps = index == AT and block[at : at + 1] == _STEPS
        values, at = _column(block, at + steps, count)
        if steps:
            values = [b"%d" % time for time in itertools.accumulate(map(int, values))]
        if index == DATA:
            values = _in_order(values, _by_type(columns[TYPE]))
        columns.append(values)
    return _records(first, columns, len(block) - at)


def _unwoven(block: bytes) -> list[bytes]:
    count, first = _begun(block)
    text = weaving.restore(block, _HEADER.size, MAX_BYTES)
    jobs, at = _column(text, 0, count)
    order = _by_job(jobs)
    types: Sequence[bytes] = ()
    columns: list[Sequence[bytes]] = []
    for index in range(len(FIELDS)):
        if index == JOB:
            columns.append(jobs)
            continue
        values: Sequence[bytes]
        if index == AT and text[at : at + 1] == _TIMES:
            values, at = _times_at(text, at + 1, count)
        else:
            values, at = _column(text, at, count)
            if index == TYPE:
                types = values
            elif index == DATA:
                values = _in_order(values, _by_type(types))
            if index != AT:
                values = _in_order(values, order)
        columns.append(values)
    return _records(first, columns, len(text) - at)


def _begun(block: bytes) -> tuple[int, int]:
    """How many records a block says that it holds, and the first one's position."""
    _, count, first = _HEADER.unpack_from(block)
    if not 0 < count <= MAX_COUNT or first >> 63:
        raise ValueError(f"it says that it holds {count} records from {first} on")
    return count, first


def _records(first: int, columns: Sequence[Sequence[bytes]], left: int) -> list[bytes]:
    """What the columns are together, of which so many bytes are `left`."""
    # Until here a value that many records share is there once.
    if sum(sum(map(len, values)) for values in columns) > MAX_BYTES:
        raise ValueError(f"its records have more than {MAX_BYTES} bytes")
    if left:
        raise ValueError(f"{left} bytes stand behind its columns")
    positions = range(first, first + len(columns[0]))
    return list(map(_encode, zip(positions, *columns, strict=True)))


def _packed(values: Sequence[bytes]) -> Sequence[bytes]:
    lengths = list(map(len, values))
    if values.count(values[0]) == len(values):
        return _MARKED.pack(_ONE, lengths[0]), values[0]
    joined = b"".join(values)
    longest = max(lengths)
    if longest == min(lengths):
        return _MARKED.pack(_FIXED, longest), joined
    if longest < 256:
        return _SHORT, bytes(lengths), joined
    return _LONG, struct.pack(f">{len(lengths)}I", *lengths), joined


def _column(block: bytes, at: int, count: int) -> tuple[Sequence[bytes], int]:
    """The values of a column that begins at `at`, and where the next one does."""
    mark = block[at : at + 1]
    if mark in (_ONE, _FIXED):
        _, length = _MARKED.unpack_from(block, at)
        at += _MARKED.size
        if mark == _ONE:
            end = _within(block, at + length)
            if length * count > MAX_BYTES:
                raise ValueError(f"its records have more than {MAX_BYTES} bytes")
            return [block[at:end]] * count, end
        end = _within(block, at + length * count)
        return [block[start : start + length] for start in range(at, end, length)], end
    lengths: Sequence[int]
    if mark == _SHORT:
        begin = _within(block, at + 1 + count)
        lengths = block[at + 1 : begin]
    elif mark == _LONG:
        begin = _within(block, at + 1 + 4 * count)
        lengths = struct.unpack_from(f">{count}I", block, at + 1)
    else:
        raise ValueError(f"a column has the mark {mark!r}")
    ends = list(itertools.accumulate(lengths, initial=begin))
    end = _within(block, ends[-1])
    return list(map(block.__getitem__, map(slice, ends, ends[1:]))), end


def _within(block: bytes, end: int) -> int:
    if end > len(block):
        raise ValueError("a column is cut off")
    return end


def _by_type(types: Sequence[bytes]) -> list[int]:
    """The indexes of entries of the first type by name, in order; then of the next one."""
    return sorted(range(len(types)), key=types.__getitem__)


def _by_job(jobs: Sequence[bytes]) -> list[int]:
    """The indexes of entries of the job that comes first, in order; then of the job that comes next."""
    places: dict[bytes, int] = {}
    found = [places.setdefault(job, len(places)) for job in jobs]
    return sorted(range(len(jobs)), key=found.__getitem__)


def _in_order(values: Sequence[bytes], moved: Sequence[int]) -> list[bytes]:
    """What stands in the order `moved`, where it was."""
    found = [b""] * len(values)
    for index, value in zip(moved, values, strict=True):
        found[index] = value
    return found


def _times(values: Sequence[bytes]) -> Sequence[bytes]:
    steps = _steps(values)
    if steps is None:
        return _packed(values)
    first, *rest = map(int, steps)
    if first >> 64 or not all(0 <= step < 1 << 32 for step in rest):
        return _packed(values)
    return _TIMES, _TIME.pack(first), weaving.planes(rest)


def _times_at(text: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """The times whose column begins at `at`, and where the next one does."""
    (first,) = _TIME.unpack_from(text, at)
    at += _TIME.size
    end = _within(text, at + 4 * (count - 1))
    steps = weaving.from_planes(text[at:end])
    return [b"%d" % time for time in itertools.accumulate(steps, initial=first)], end


def _steps(values: Sequence[bytes]) -> list[bytes] | None:
    """Decimal numbers as the first one, and what each is more than the one before; None for other values."""
    try:
        numbers = list(map(int, values))
    except ValueError:
        return None
    if [b"%d" % number for number in numbers] != list(values):
        return None
    return [
        b"%d" % (number - before) for before, number in zip([0, *numbers], numbers, strict=False)
    ]


def _behind_lengths(block: bytes) -> Iterator[bytes]:
    at, end = 0, len(block)
    while at < end:
        begin = at + 4
        at = begin + int.from_bytes(block[at:begin])
        if at > end:
            raise ValueError("a record is longer than its block")
        yield block[begin:at]
