"""Owns what the stores should hold, from the log's own words: the canonical codec and `evolve`. Pure.

It shares with the projectors only how values look in a store (`render`), not how they are read or folded.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final, NamedTuple

from triton.errors import DecodeError
from triton.events.envelope import Event
from triton.events.log import Entry
from triton.events.types import Submitted
from triton.job import Head, evolve
from triton.projections.render import body_of, clean_text, data_json, to_json
from triton.projections.stamps import LAST

#: Columns of `sql/verify_events.sql` and its ClickHouse twin, after partition and position.
EVENT_FIELDS: Final = (
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
#: Columns of a job that hold JSON.
JSON_FIELDS: Final = ("error", "result", "args", "kwargs")
_TIMES: Final = {
    "submitted_at": "submitted",
    "due_at": "due",
    "started_at": "started",
    "finished_at": "finished",
    "updated_at": "at",
}
_TEXTS: Final = (
    *("tenant", "queue", "actor", "state", "stage", "reason", "worker", "by", "causation"),
    *("correlation", "traceparent"),
)
_PLAIN: Final = (
    *("attempt", "percent", "priority", "deaths", "cancel_requested", "version", "partition"),
    "position",
)


class Tracked(NamedTuple):
    """A job as the log has it so far, with what its message carried."""

    head: Head
    #: As JSON, or None.
    args: bytes | None
    kwargs: bytes | None


def decoded(entry: Entry) -> Event | str:
    """The entry's event, or why it is none."""
    try:
        return entry.event()
    except (DecodeError, ValueError, OverflowError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


def evolved(tracked: Tracked | None, event: Event) -> Tracked:
    """Raises ValueError for an event that cannot follow."""
    head = evolve(tracked.head if tracked else None, event)
    if isinstance(event.data, Submitted):
        body = body_of(event.data.body)
        return Tracked(head, body.args if body else None, body.kwargs if body else None)
    assert tracked is not None
    return tracked._replace(head=head)


def expected_event(event: Event) -> dict[str, Any]:
    """The row of an event; times in microseconds, data as JSON text."""
    row: dict[str, Any] = {
        name: clean_text(value) if isinstance(value := getattr(event, name), str) else value
        for name in EVENT_FIELDS[:-1]
    }
    row["data"] = data_json(event.data).decode()
    return row


def expected_job(tracked: Tracked) -> dict[str, Any]:
    """The row of a job; times in microseconds or None, JSON values comparable."""
    head = tracked.head
    row: dict[str, Any] = {name: getattr(head, name) for name in _PLAIN}
    row |= {name: clean_text(getattr(head, name)) for name in _TEXTS}
    row |= {
        name: min(getattr(head, field), LAST) if getattr(head, field) else None
        for name, field in _TIMES.items()
    }
    for name, value in (("error", head.error), ("result", head.result)):
        row[name] = None if value is None else comparable(to_json(value).decode())
    for name, encoded in (("args", tracked.args), ("kwargs", tracked.kwargs)):
        row[name] = None if encoded is None else comparable(encoded.decode())
    return row


def comparable(text: str | None) -> Any:
    """JSON text as values that are equal when PostgreSQL's jsonb calls them equal: numbers by value."""
    if text is None:
        return None
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)
