"""Owns what a projector makes of a page of the log: its events as columns for the stores. Pure.

This is the hot path of every projection. So entries are not decoded into Events: where a page looks like
nearly all do, its columns are used as the bytes they are, and data is decoded and encoded by the column.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, Final, TypeAlias, cast

import msgspec

from triton.errors import DecodeError
from triton.events.codec import decode_column
from triton.events.entries import Entry, Page
from triton.events.envelope import DATA, JOB, SCHEMA
from triton.events.types import EventData, Submitted
from triton.projections.render import clean_text, data_lines, submitted_lines
from triton.projections.stamps import LAST

#: The columns of `job_events`, the same in both stores.
COLUMNS: Final = (
    *("partition", "position", "job", "version", "type", "attempt", "at", "by", "tenant", "queue"),
    *("causation", "correlation", "traceparent", "schema", "data"),
)
SUBMITTED: Final = b"job.submitted"
#: So many texts are remembered before all are forgotten.
_REMEMBERED: Final = 20_000
#: The greatest number that both stores take.
_MOST: Final = 2**31 - 1
_SCHEMAS: Final = 2**15 - 1
_decode_integers: Final = msgspec.json.Decoder(list[int]).decode


class Rows(msgspec.Struct, frozen=True):
    """Events as columns, in order; texts without what a store refuses, `at` in microseconds, `shown` the
    data as JSON in the form of the store."""

    page: Page
    job: Sequence[bytes]
    version: Sequence[int]
    kind: Sequence[bytes]
    attempt: Sequence[int]
    at: Sequence[int]
    by: Sequence[bytes]
    tenant: Sequence[bytes]
    queue: Sequence[bytes]
    causation: Sequence[bytes]
    correlation: Sequence[bytes]
    trace: Sequence[bytes]
    schema: Sequence[int]
    data: Sequence[EventData]
    shown: Sequence[bytes]

    @property
    def size(self) -> int:
        return self.page.size

    @property
    def first(self) -> int:
        """Its position."""
        return self.page.positions[0]

    @property
    def last(self) -> Entry:
        return self.page.entry(-1)

    def jobs(self) -> Sequence[str]:
        """The jobs' ids as the stores have them."""
        return [job.decode() for job in self.job]

    def part(self, begin: int, end: int) -> Rows:
        """Those from one index up to before another."""
        columns = (getattr(self, name)[begin:end] for name in self.__struct_fields__[1:])
        return Rows(self.page.part(begin, end), *columns)

    def only(self, kept: Sequence[bool]) -> Rows:
        """Those whose flag is true."""
        page = Page(
            self.page.partition,
            list(compress(self.page.positions, kept)),
            [list(compress(column, kept)) for column in self.page.columns],
        )
        columns = (list(compress(getattr(self, n), kept)) for n in self.__struct_fields__[1:])
        return Rows(page, *columns)


class Poison(msgspec.Struct, frozen=True):
    """An entry that cannot be applied, and why."""

    entry: Entry
    job: str
    reason: str

    @property
    def size(self) -> int:
        return 1

    @property
    def first(self) -> int:
        return self.entry.position

    @property
    def last(self) -> Entry:
        return self.entry


#: What a batch is made of, in order.
Piece: TypeAlias = Rows | Poison


async def again(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    """Pieces that were read before, as if they came now."""
    for piece in pieces:
        yield piece


class RowReader:
    """Reads pages; one per projector, for what it remembers. `form` is how its store takes lines of JSON."""

    def __init__(self, form: Callable[[bytes], bytes]) -> None:
        self._texts = _Texts()
        self._form = form

    def read(self, page: Page) -> list[Piece]:
        """The page's rows, and a Poison for each entry that holds what no event may hold."""
        try:
            return [self._rows(page)]
        except (DecodeError, ValueError, OverflowError, RecursionError) as error:
            if page.size == 1:
                entry = page.entry(0)
                job = clean_text(entry.value(JOB).decode(errors="replace"))
                return [Poison(entry, job, clean_text(f"{type(error).__name__}: {error}"))]
            half = page.size // 2
            return [*self.read(page.part(0, half)), *self.read(page.part(half, page.size))]

    def _rows(self, page: Page) -> Rows:
        kind, job, version, attempt, at, by, causation, correlation, trace, tenant, queue = (
            page.columns[:11]
        )
        schema, raw = page.columns[SCHEMA], page.columns[DATA]
        schemas = _repeated(schema)
        data, shown = _read(kind, schemas, raw, self._form)
        texts: Sequence[Sequence[bytes]] = (
            *(job, kind, by, tenant, queue, causation, correlation, trace),
        )
        every = b"".join([b"".join(column) for column in texts])
        if not every.isascii() or b"\0" in every:
            texts = [[self._texts[text] for text in column] for column in texts]
        job, kind, by, tenant, queue, causation, correlation, trace = texts
        return Rows(
            page=page,
            job=job,
            version=_numbers(version, _MOST),
            kind=kind,
            attempt=_numbers(attempt, _MOST),
            at=_moments(at),
            by=by,
            tenant=tenant,
            queue=queue,
            causation=causation,
            correlation=correlation,
            trace=trace,
            schema=schemas,
            data=data,
            shown=shown,
        )


def _read(
    kind: Sequence[bytes],
    schemas: Sequence[int],
    raw: Sequence[bytes],
    form: Callable[[bytes], bytes],
) -> tuple[Sequence[EventData], Sequence[bytes]]:
    """Data as Structs and as JSON. Events of one type and schema are decoded together."""
    keys: Sequence[Any] = kind
    if schemas.count(schemas[0]) != len(schemas):
        keys = list(zip(kind, schemas, strict=True))
    parts: dict[Any, list[bytes]] = {}
    for key, one in zip(keys, raw, strict=True):
        if key in parts:
            parts[key].append(one)
        else:
            parts[key] = [one]
    data: dict[Any, Sequence[EventData]] = {}
    shown: dict[Any, Sequence[bytes]] = {}
    for key, part in parts.items():
        name, schema = (key, schemas[0]) if keys is kind else key
        data[key], shown[key] = _read_part(name, schema, part, form)
    return _in_order(keys, data), _in_order(keys, shown)


def _read_part(
    name: bytes, schema: int, part: Sequence[bytes], form: Callable[[bytes], bytes]
) -> tuple[Sequence[EventData], Sequence[bytes]]:
    """Data of one type and schema. What workers say of their jobs is often the same: then it is read once."""
    if name == SUBMITTED:
        born = decode_column(name.decode(), schema, part)
        return born, form(submitted_lines(cast("list[Submitted]", born))).split(b"\n")
    different = list(dict.fromkeys(part))
    if 2 * len(different) > len(part):
        different = []
    data = decode_column(name.decode(), schema, different or part)
    shown = form(data_lines(data)[:-1]).split(b"\n")
    if not different:
        return data, shown
    each = dict(zip(different, zip(data, shown, strict=True), strict=True))
    data, shown = map(list, zip(*map(each.__getitem__, part), strict=True))
    return data, shown


def _in_order(keys: Sequence[Any], parts: Mapping[Any, Sequence[Any]]) -> list[Any]:
    """One of each part where its key stands."""
    each = {key: iter(part) for key, part in parts.items()}
    return list(map(next, map(each.__getitem__, keys)))


def _numbers(column: Sequence[bytes], most: int) -> list[int]:
    """Numbers from 0 to `most`. Raises ValueError for another one, and for what is none."""
    joined = b",".join(column)
    if not joined.translate(None, b"0123456789,"):
        # A JSON array, so read three times as fast.
        try:
            numbers = _decode_integers(b"[" + joined + b"]")
        except msgspec.MsgspecError:
            numbers = []
        if len(numbers) == len(column) and max(numbers) <= most:
            return numbers
    return [_number(digits, most) for digits in column]


def _number(digits: bytes, most: int) -> int:
    number = int(digits)
    if not 0 <= number <= most:
        raise ValueError(f"{number} is not between 0 and {most}")
    return number


def _repeated(column: Sequence[bytes]) -> list[int]:
    """Small numbers that are nearly always the same. Raises ValueError."""
    if column.count(column[0]) == len(column):
        return _numbers(column[:1], _SCHEMAS) * len(column)
    return _numbers(column, _SCHEMAS)


def _moments(column: Sequence[bytes]) -> list[int]:
    """Times, none after the last that stores know. Raises ValueError."""
    try:
        return _numbers(column, LAST)
    except ValueError:
        return [min(max(0, int(at)), LAST) for at in column]


class _Texts(dict[bytes, bytes]):
    """A text -> the same without what a store refuses."""

    def __missing__(self, raw: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        shown = self[raw] = clean_text(raw.decode()).encode()
        return shown
