"""Owns what a projector makes of one log entry: the decoded event and its line for the stores. Pure.

This is the hot path of every projection. So an entry is not decoded into an Event: its values go into the
line as the bytes they are, and texts and small data that repeat are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.log import Entry
from triton.events.types import EventData, Submitted
from triton.projections.render import Body, body_of, clean_text, data_json, submitted_json
from triton.projections.stamps import stamp

#: The columns of a line, the same for PostgreSQL's COPY and ClickHouse's TabSeparated.
COLUMNS: Final = (
    *("partition", "position", "job", "version", "type", "attempt", "at", "by", "tenant", "queue"),
    *("causation", "correlation", "traceparent", "schema", "data"),
)
#: Data of at most so many bytes is remembered: `{}`, a worker's name, an empty result.
_SMALL: Final = 64
#: Times after this have all their digits: a second of 1970, and six for the microseconds.
_LATER: Final = 10_000_000
#: So many texts and data are remembered before all are forgotten.
_REMEMBERED: Final = 20_000


class Row(msgspec.Struct, gc=False):
    """One event, as the projections need it.

    `line` ends with a line feed. `body` is that of a submitted message, None for all else.
    """

    entry: Entry
    job: str
    version: int
    attempt: int
    at: int
    data: EventData
    line: bytes
    body: Body | None


class Poison(msgspec.Struct, frozen=True):
    """An entry that cannot be applied, and why."""

    entry: Entry
    job: str
    reason: str


Reading: TypeAlias = Row | Poison


class RowReader:
    """Reads entries; one per projector, for what it remembers."""

    def __init__(self) -> None:
        self._texts = _Texts()
        self._seconds = _Seconds()
        self._contexts = _Contexts(self._texts)
        #: (type, schema, data) -> the decoded data, and schema and data as fields of a line.
        self._data: dict[tuple[bytes, bytes, bytes], tuple[EventData, bytes]] = {}

    def read_all(self, entries: Sequence[Entry]) -> list[Reading]:
        """Each entry's Row, or a Poison where it holds what no event may hold."""
        rows: list[Reading] = []
        add = rows.append
        row = self._row
        for entry in entries:
            try:
                add(row(entry))
            except (DecodeError, ValueError, OverflowError, RecursionError) as error:
                job = clean_text(entry.fields[3].decode(errors="replace"))
                add(Poison(entry, job, clean_text(f"{type(error).__name__}: {error}")))
        return rows

    def read(self, entry: Entry) -> Reading:
        """The same for one entry."""
        return self.read_all([entry])[0]

    def _row(self, entry: Entry) -> Row:
        partition, position, fields = entry
        event_type, job, version, attempt, at = fields[1:11:2]
        schema, raw = fields[23], fields[25]
        body: Body | None = None
        known = self._data.get((event_type, schema, raw))
        if known is not None:
            data, shown = known
        else:
            data = decode_data(event_type.decode(), int(schema), raw)
            if isinstance(data, Submitted):
                body = body_of(data.body)
                shown = b"%d\t%b" % (int(schema), escaped_json(submitted_json(data, body)))
            else:
                shown = b"%d\t%b" % (int(schema), escaped_json(data_json(data)))
                if len(raw) <= _SMALL:
                    self._remember((event_type, schema, raw), data, shown)
        when = int(at)
        number = int(version)
        fence = int(attempt)
        line = b"%d\t%d\t%b\t%d\t%b\t%d\t%b\t%b\t%b\n" % (
            partition,
            position,
            self._texts[job],
            number,
            self._texts[event_type],
            fence,
            self._seconds[at[:-6]] + at[-6:]
            if when > _LATER and at.isdigit()
            else stamp(when).encode(),
            # by, causation, correlation, traceparent, tenant, queue
            self._contexts[tuple(fields[11:23:2])],
            shown,
        )
        return Row(entry, clean_text(job.decode()), number, fence, when, data, line, body)

    def _remember(self, key: tuple[bytes, bytes, bytes], data: EventData, shown: bytes) -> None:
        if len(self._data) >= _REMEMBERED:
            self._data.clear()
        self._data[key] = (data, shown)


class _Contexts(dict[tuple[bytes, ...], bytes]):
    """What a job's events have in common (as fields of an entry) -> as fields of a line."""

    def __init__(self, texts: _Texts) -> None:
        super().__init__()
        self._texts = texts

    def __missing__(self, context: tuple[bytes, ...]) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        by, causation, correlation, trace, tenant, queue = (self._texts[part] for part in context)
        shown = b"\t".join((by, tenant, queue, causation, correlation, trace))
        self[context] = shown
        return shown


class _Seconds(dict[bytes, bytes]):
    """The digits of a time without its microseconds -> the same as text, up to the point."""

    def __missing__(self, digits: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        shown = self[digits] = stamp(int(digits) * 1_000_000)[:-6].encode()
        return shown


class _Texts(dict[bytes, bytes]):
    """A text's bytes -> the same without what a store refuses, escaped for a line."""

    def __missing__(self, raw: bytes) -> bytes:
        if len(self) >= _REMEMBERED:
            self.clear()
        shown = self[raw] = escaped(clean_text(raw.decode())).encode()
        return shown


def escaped(text: str) -> str:
    """A text as one field of a line."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def escaped_json(encoded: bytes) -> bytes:
    """JSON as one field of a line: it has no raw control characters, so only backslashes are special."""
    return encoded.replace(b"\\", b"\\\\") if b"\\" in encoded else encoded
