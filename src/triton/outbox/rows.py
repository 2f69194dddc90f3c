"""Owns the way of an outbox row back to a message. Pure."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from dramatiq import Message

from triton.errors import invalid


class Row(NamedTuple):
    """One row as `read.sql` answers it. Times in milliseconds since 1970."""

    id: int
    job: str
    actor: str
    queue: str | None
    args: str
    kwargs: str
    options: str
    #: Infinite too, as PostgreSQL's times can be.
    due: float | None
    created: int


def message_of(row: Row, *, queue: str, now_ms: int) -> Message[Any]:
    """The message; `queue` is for a row that names none. Raises ValidationError naming the column."""
    options = _decoded("options", row.options, dict)
    options.pop("eta", None)
    if row.due is not None and row.due > now_ms:
        if not math.isfinite(row.due):
            raise invalid("due", "infinity", "a time")
        options["eta"] = round(row.due)
    return Message(
        queue_name=row.queue if row.queue is not None else queue,
        actor_name=row.actor,
        args=tuple(_decoded("args", row.args, list)),
        kwargs=_decoded("kwargs", row.kwargs, dict),
        options=options,
        message_id=row.job,
        message_timestamp=row.created,
    )


def _decoded(column: str, text: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(column, f"JSON that cannot be read ({error})", "JSON") from None
    if not isinstance(value, kind):
        shape = "a JSON array" if kind is list else "a JSON object"
        raise invalid(column, f"of type {type(value).__name__}", shape)
    return value
