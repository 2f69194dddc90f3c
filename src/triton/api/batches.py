"""Owns the JSON form of streams: a batch of events after a cursor, at once or as a long poll."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from triton.api.wire import Json
from triton.errors import CursorGoneError, ValidationError
from triton.events.render import EventView
from triton.feed.contract import CatchUp
from triton.feed.cursor import Reason

#: Milliseconds that a long poll waits at most.
MAX_WAIT_MS: Final = 30_000

LimitParameter: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="JSON only.")]
WaitParameter: TypeAlias = Annotated[
    int, Query(ge=0, le=MAX_WAIT_MS, description="JSON only: how long to wait for the first.")
]


class EventBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the log's order within each partition. `cursor` is where to go on; `complete`: there are no
    more for now."""

    events: list[EventView]
    cursor: str
    complete: bool


def wants_json(request: Request) -> bool:
    """Whether JSON is asked for by name and an event stream is not."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/event-stream" not in accept


def answer(found: CatchUp | Reason, *, given: str = "last_event_id") -> Response:
    """The batch; the parameter `given` held the cursor. Raises ValidationError and CursorGoneError for one
    that cannot be gone on from."""
    if isinstance(found, str):
        if found == "invalid" and given == "from":
            raise ValidationError(
                "`from` is neither `now`, `earliest`, a time (RFC 3339) nor a cursor of this log",
                fields=[{"field": "from", "message": "no time, and no cursor of this log"}],
            )
        if found == "invalid":
            raise ValidationError(
                "the cursor is none of this log's: begin without one, or with from=now, from=earliest or a "
                "time where there is `from`",
                fields=[{"field": "last_event_id", "message": "no cursor of this log"}],
            )
        raise CursorGoneError(
            f"what follows this cursor cannot be told ({found}): begin again without it",
            reason=found,
        )
    return Json(
        {
            "events": [msgspec.Raw(line) for line in found.events],
            "cursor": found.cursor,
            "complete": found.complete,
        }
    )
