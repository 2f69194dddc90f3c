"""Owns the values that the API answers, as a Python program has them. Pure.

They are the API's own words (docs/reference/routes.md); what a newer server adds is left out. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

JobState: TypeAlias = Literal[
    "scheduled", "pending", "processing", "completed", "failed", "cancelled"
]
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt raised."""

    type: str = ""
    message: str = ""
    traceback: str = ""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was when it was asked for. None is "not yet"."""

    id: str
    actor: str
    queue: str
    tenant: str
    state: str
    percent: float
    stage: str
    attempt: int
    #: None where the message is not JSON, or is gone with the completed job.
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    priority: int
    result: Any
    error: JobError | None
    #: Of a failed job: error | time_limit | died | rejected | expired | erased. Of a cancelled one: why.
    reason: str
    submitted_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    worker: str
    deaths: int
    cancel_requested: bool
    by: str
    causation: str
    correlation: str
    #: Number of its events.
    version: int
    partition: int
    position: int
    #: Where to subscribe from to get exactly what follows; None in lists.
    cursor: str | None
    links: dict[str, str]

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a job, as the log has it."""

    #: `JOB/VERSION`.
    id: str
    source: str
    #: `job.started`, `job.progressed`, ...: docs/reference/events.md.
    type: str
    #: The job's id.
    subject: str
    time: datetime
    partition: int
    position: int
    #: Dense per job, from 1.
    version: int
    attempt: int
    by: str
    tenant: str
    queue: str
    causation: str
    correlation: str
    traceparent: str
    #: What is special to the type.
    data: dict[str, Any]
    specversion: str = "1.0"


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call of an actor, as `submit_many` takes it; `options` as the API has them (ttl_ms, run_at, ...)."""

    actor: str
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = {}
    queue: str | None = None
    options: dict[str, Any] = {}
    idempotency_key: str | None = None


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a submit. `existing`: its idempotency key or unique key found this job there.
    `correlation`: what it belongs to; empty where the server is older than this client."""

    id: str
    state: str
    actor: str
    queue: str
    tenant: str
    existing: bool
    correlation: str = ""
    links: dict[str, str]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job of many was not submitted."""

    code: str
    message: str
    fields: list[dict[str, str]] = []


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one job of many: accepted, exists, or rejected (see `error`; the id is empty)."""

    index: int
    id: str
    status: Literal["accepted", "exists", "rejected"]
    error: Refusal | None = None


class Receipts(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt per job, in the order of the call, and how many there are of each kind."""

    mode: str
    accepted: int
    existing: int
    rejected: int
    jobs: list[Receipt]


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, newest first. `next` leads to the page after it; None on the last one."""

    jobs: list[Job]
    next: str | None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A job's events, oldest first. `next` is the version after which the next page begins."""

    events: list[Event]
    next: int | None


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded document."""

    id: str
    sha256: str
    #: Bytes.
    size: int
    filename: str
    media_type: str
    tenant: str
    uploaded_at: datetime
    uploaded_by: str
    links: dict[str, str]
