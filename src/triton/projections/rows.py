"""Owns what a projector makes of a page of the log: its events as columns for the stores. Pure.

This is the hot path of every projection. So entries are not decoded into Events: where a page looks like
nearly all do, its columns are used as the bytes they are, and small data that repeats is looked up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import compress
from typing import Final, TypeAlias

import msgspec

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.entries import Entry, Page
from triton.events.types import EventData, Submitted
from triton.projections.render import Body, body_of, clean_text, data_json, submitted_json
from triton.projections.stamps import LAST

#: The columns of `job_events`, the same in both stores.
COLUMNS: Final = (
    *("partition", "position", "job", "version", "type", "attempt", "at", "by", "tenant", "queue"),
    *("causation", "correlation", "traceparent", "schema", "data"),
)
#: Data of at most so many bytes is remembered: `{}`, a worker's name, a step of progress.
_SMALL: Final = 48
#: So many texts and data are remembered before all are forgotten.
_REMEMBERED: Final = 20_000
#: The greatest number that both stores take.
_MOST: Final = 2**31 - 1
_SCHEMAS: Final = 2**15 - 1


class Datum(msgspec.Struct, frozen=True, gc=False):
    """An event's data: decoded, as JSON in the form of the store, and the body of a submitted message."""

    data: EventData
    shown: bytes
    body: Body | None


class Rows(msgspec.Struct, frozen=True):
    """Events as columns, in order; texts without what a store refuses, `at` in microseconds."""

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
    data: Sequence[Datum]

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
    """Reads pages; one per projector, for what it remembers. `form` is how its store takes JSON."""

    def __init__(self, form: Callable[[bytes], bytes]) -> None:
        self._texts = _Texts()
        self._data = _Data(form)

    def read(self, page: Page) -> list[Piece]:
        """The page's rows, and a Poison for each entry that holds what no event may hold."""
        try:
            return [self._rows(page)]
        except (DecodeError, ValueError, OverflowError, RecursionError) as error:
            if page.size == 1:
                entry = page.entry(0)
                job = clean_text(entry.fields[3].decode(errors="replace"))
                return [Poison(entry, job, clean_text(f"{type(error).__name__}: {error}"))]
            half = page.size // 2
            return [*self.read(page.part(0, half)), *self.read(page.part(half, page.size))]

    def _rows(self, page: Page) -> Rows:
        kind, job, version, attempt, at, by, causation, correlation, trace, tenant, queue = (
            page.columns[:11]
        )
        schema, raw = page.columns[11:]
        data = list(map(self._data.__getitem__, zip(kind, schema, raw, strict=True)))
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
            schema=_repeated(schema),
            data=data,
        )


def _numbers(column: Sequence[bytes], most: int) -> list[int]:
    """Raises ValueError for what is no number, or too large."""
    numbers = list(map(int, column))
    if max(numbers) > most or min(numbers) < 0:
        raise ValueError(f"{min(numbers)} to {max(numbers)} are not between 0 and {most}")
    return numbers


def _repeated(column: Sequence[bytes]) -> list[int]:
    """Small numbers that are nearly always the same. Raises ValueError."""
    if column.count(column[0]) == len(column):
        return _numbers(column[:1], _SCHEMAS) * len(column)
    return _numbers(column, _SCHEMAS)


def _moments(column: Sequence[bytes]) -> list[int]:
    """Times, none after the last that stores know. Raises ValueError."""
    moments = list(map(int, column))
    if max(moments) > LAST or min(moments) < 0:
        return [min(max(0, at), LAST) for at in moments]
    return moments


class _Data(dict[tuple[bytes, bytes, bytes], Datum]):
    """(type, schema, data) as in an entry -> what they mean. Raises DecodeError, ValueError."""

    def __init__(self, form: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, key: tuple[bytes, bytes, bytes]) -> Datum:
        kind, schema, raw = key
        data = decode_data(kind.decode(), int(schema), raw)
        if isinstance(data, Submitted):
            body = body_of(data.body)
            return Datum(data, self._form(submitted_json(data, body)), body)
        datum = Datum(data, self._form(data_json(data)), None)
        if len(raw) <= _SMALL:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[key] = datum
        return datum


class _Texts(dict[bytes, bytes]):
    """A text -> the same without what a store refuses."""

    def __missing__(self, raw: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        shown = self[raw] = clean_text(raw.decode()).encode()
        return shown
