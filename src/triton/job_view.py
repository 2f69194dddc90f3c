"""Owns how a job looks to whoever is shown one: clients, auditors, the command line. Pure."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from triton.events.render import NULL, message_of, one_line, rfc3339
from triton.job import Head

#: Where the API begins, whose addresses a view links to.
PREFIX: Final = "/api/v1"


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """One job. Times are RFC 3339 in UTC, null for "not yet".

    `args` and `kwargs` are null where the message is not JSON.
    """

    id: str
    actor: str
    queue: str
    tenant: str
    #: scheduled | pending | processing | completed | failed | cancelled
    state: str
    percent: float
    stage: str
    attempt: int
    args: Any
    kwargs: Any
    priority: int
    result: Any
    #: Of a failed attempt: {"type", "message", "traceback"}.
    error: dict[str, Any] | None
    #: Of a failed job: error | time_limit | died | rejected | expired | erased. Of a cancelled one: why,
    #: in a person's words.
    reason: str
    submitted_at: str
    due_at: str | None
    started_at: str | None
    finished_at: str | None
    updated_at: str
    worker: str
    deaths: int
    cancel_requested: bool
    #: Who submitted it.
    by: str
    causation: str
    correlation: str
    #: Number of its events.
    version: int
    partition: int
    #: Log position of the last event that this view reflects.
    position: int
    #: Where to subscribe from to get exactly what follows this view; only where one job is asked for.
    cursor: str | None = None
    links: dict[str, str]


def links_of(job: str) -> dict[str, str]:
    home = f"{PREFIX}/jobs/{quote(job, safe='')}"
    return {"self": home, "events": f"{home}/events", "subscribe": f"{home}/subscribe"}


def from_head(head: Head, body: bytes | None) -> JobView:
    """The view of a head; without its message (a completed job has none) args and kwargs are null."""
    message = message_of(body) if body is not None else None
    return JobView(
        id=head.job,
        actor=head.actor,
        queue=head.queue,
        tenant=head.tenant,
        state=head.state,
        percent=head.percent,
        stage=head.stage,
        attempt=head.attempt,
        args=message.args if message else NULL,
        kwargs=message.kwargs if message else NULL,
        priority=head.priority,
        result=head.result,
        error=msgspec.structs.asdict(head.error) if head.error else None,
        reason=head.reason,
        submitted_at=rfc3339(head.submitted) or "",
        due_at=rfc3339(head.due),
        started_at=rfc3339(head.started),
        finished_at=rfc3339(head.finished),
        updated_at=rfc3339(head.at) or "",
        worker=head.worker,
        deaths=head.deaths,
        cancel_requested=head.cancel_requested,
        by=head.by,
        causation=head.causation,
        correlation=head.correlation,
        version=head.version,
        partition=head.partition,
        position=head.position,
        links=links_of(head.job),
    )


def to_json(view: JobView) -> bytes:
    """The view as one line of JSON; a result that JSON cannot hold is replaced by the reason."""
    try:
        return one_line(view)
    except (TypeError, ValueError, RecursionError) as error:
        problem = {"problem": f"the result cannot be shown as JSON: {error}"}
        return one_line(msgspec.structs.replace(view, result=problem))
