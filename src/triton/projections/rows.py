"""Owns what a projector makes of one log entry: the decoded event and its line for the stores. Pure.

This is the hot path of every projection. So an entry is not decoded into an Event: its values go into the
line as the bytes they are, and texts and small data that repeat are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.log import Entry
from triton.events.types import EventData, Submitted
from triton.projections.render import body_of, clean_text, data_json, submitted_json

#: The columns of a line, the same for PostgreSQL's COPY and ClickHouse's TabSeparated.
COLUMNS: Final = (
    "partition",
    "position",
    "job",
    "version",
    "type",
    "attempt",
    "at",
    "by",
    "tenant",
    "queue",
    "causation",
    "correlation",
    "traceparent",
    "schema",
    "data",
)
#: Data of at most so many bytes is remembered: `{}`, a worker's name, an empty result.
_SMALL: Final = 64
#: So many texts and data are remembered before all are forgotten.
_REMEMBERED: Final = 20_000


class Row(NamedTuple):
    """One event, as the projections need it. `body` is a submitted message as JSON would read it."""

    entry: Entry
    job: str
    type: str
    version: int
    attempt: int
    at: int
    data: EventData
    line: bytes
    body: Any


class Poison(NamedTuple):
    """An entry that cannot be applied, and why."""

    entry: Entry
    job: str
    reason: str


Reading: TypeAlias = Row | Poison


class RowReader:
    """Reads entries; one per projector, for what it remembers."""

    def __init__(self) -> None:
        self._texts: dict[bytes, bytes] = {}
        self._data: dict[tuple[bytes, bytes, bytes], tuple[str, EventData, bytes]] = {}
        self._seconds: dict[int, bytes] = {}

    def read(self, entry: Entry) -> Reading:
        """The entry's Row; a Poison where it holds what no event may hold."""
        try:
            return self._row(entry)
        except (DecodeError, ValueError, OverflowError, RecursionError) as error:
            job = clean_text(entry.fields[3].decode(errors="replace"))
            return Poison(entry, job, clean_text(f"{type(error).__name__}: {error}"))

    def _row(self, entry: Entry) -> Row:
        (
            event_type,
            job,
            version,
            attempt,
            at,
            by,
            causation,
            correlation,
            trace,
            tenant,
            queue,
            schema,
            raw,
        ) = entry.fields[1::2]
        name, data, shown, body = self._decoded(event_type, schema, raw)
        when = int(at)
        text = self._text
        line = b"\t".join(
            (
                b"%d" % entry.partition,
                b"%d" % entry.position,
                text(job),
                version,
                text(event_type),
                attempt,
                self._stamp(when),
                text(by),
                text(tenant),
                text(queue),
                text(causation),
                text(correlation),
                text(trace),
                schema,
                shown,
            )
        )
        return Row(
            entry,
            clean_text(job.decode()),
            name,
            int(version),
            int(attempt),
            when,
            data,
            line + b"\n",
            body,
        )

    def _decoded(
        self, event_type: bytes, schema: bytes, raw: bytes
    ) -> tuple[str, EventData, bytes, Any]:
        key = (event_type, schema, raw)
        known = self._data.get(key)
        if known is not None:
            return (*known, None)
        name = event_type.decode()
        data = decode_data(name, int(schema), raw)
        body = None
        if isinstance(data, Submitted):
            body = body_of(data.body)
            shown = _escaped_json(submitted_json(data, body))
        else:
            shown = _escaped_json(data_json(data))
            if len(raw) <= _SMALL:
                if len(self._data) >= _REMEMBERED:
                    self._data.clear()
                self._data[key] = (name, data, shown)
        return name, data, shown, body

    def _text(self, raw: bytes) -> bytes:
        known = self._texts.get(raw)
        if known is None:
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            known = self._texts[raw] = _escaped(clean_text(raw.decode()))
        return known

    def _stamp(self, at: int) -> bytes:
        second, micro = divmod(at, 1_000_000)
        known = self._seconds.get(second)
        if known is None:
            if len(self._seconds) >= _REMEMBERED:
                self._seconds.clear()
            when = datetime.fromtimestamp(second, UTC)
            known = self._seconds[second] = when.strftime("%Y-%m-%d %H:%M:%S.").encode()
        return known + b"%06d" % micro


def _escaped(text: str) -> bytes:
    raw = text.encode().replace(b"\\", b"\\\\")
    return raw.replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def _escaped_json(encoded: bytes) -> bytes:
    """JSON has no raw control characters, so only its backslashes are special."""
    return encoded.replace(b"\\", b"\\\\") if b"\\" in encoded else encoded


def lines_of(rows: Sequence[Row]) -> bytes:
    return b"".join([row.line for row in rows])
