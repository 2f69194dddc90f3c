"""Owns what a projector makes of one log entry: the decoded event and its line for the stores. Pure.

This is the hot path of every projection. So an entry is not decoded into an Event: its values go into the
line as the bytes they are, and texts and small data that repeat are looked up.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.log import Entry
from triton.events.types import EventData, Submitted
from triton.projections.render import body_of, clean_text, data_json, submitted_json
from triton.projections.stamps import stamp

#: The columns of a line, the same for PostgreSQL's COPY and ClickHouse's TabSeparated.
COLUMNS: Final = (
    *("partition", "position", "job", "version", "type", "attempt", "at", "by", "tenant", "queue"),
    *("causation", "correlation", "traceparent", "schema", "data"),
)
#: Data of at most so many bytes is remembered: `{}`, a worker's name, an empty result.
_SMALL: Final = 64
#: So many texts and data are remembered before all are forgotten.
_REMEMBERED: Final = 20_000


class Row(NamedTuple):
    """One event, as the projections need it.

    `line` ends with a line feed. `body` is a submitted message as JSON would read it, None for the rest.
    """

    entry: Entry
    job: str
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
        self._texts = _Texts()
        self._data: dict[tuple[bytes, bytes, bytes], tuple[EventData, bytes]] = {}

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
        body = None
        known = self._data.get((event_type, schema, raw))
        if known is not None:
            data, shown = known
        else:
            data = decode_data(event_type.decode(), int(schema), raw)
            if isinstance(data, Submitted):
                body = body_of(data.body)
                shown = escaped_json(submitted_json(data, body))
            else:
                shown = escaped_json(data_json(data))
                if len(raw) <= _SMALL:
                    self._remember((event_type, schema, raw), data, shown)
        when = int(at)
        number = int(version)
        fence = int(attempt)
        texts = self._texts
        line = b"%d\t%d\t%b\t%d\t%b\t%d\t%b\t%b\t%b\t%b\t%b\t%b\t%b\t%d\t%b\n" % (
            entry.partition,
            entry.position,
            texts[job],
            number,
            texts[event_type],
            fence,
            stamp(when).encode(),
            texts[by],
            texts[tenant],
            texts[queue],
            texts[causation],
            texts[correlation],
            texts[trace],
            int(schema),
            shown,
        )
        return Row(entry, clean_text(job.decode()), number, fence, when, data, line, body)

    def _remember(self, key: tuple[bytes, bytes, bytes], data: EventData, shown: bytes) -> None:
        if len(self._data) >= _REMEMBERED:
            self._data.clear()
        self._data[key] = (data, shown)


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
