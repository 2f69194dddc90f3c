"""Owns the life of a job: which transitions exist, as pure functions.

`decide(head, command)` says which events follow, or why none does; `evolve(head, event)` is the head
after an event. No I/O and no clock: times come in with commands and events. The Lua scripts in
`triton/events/lua` are the atomic twin of `decide`; a property test drives both and compares.

    scheduled -> pending -> processing -> completed | failed | cancelled
    processing -> scheduled (retry, snooze)     processing -> pending (lease lost, released)
    scheduled | pending -> failed (expired: not started in time)
    failed | cancelled -> pending (requeued)
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, assert_never, get_args

import msgspec

from triton.events.envelope import Event
from triton.events.types import (
    Administrative,
    Cancelled,
    CancelRequested,
    Completed,
    Due,
    Error,
    EventData,
    Failed,
    LeaseLost,
    Output,
    Progressed,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
    type_of,
)

State: TypeAlias = Literal["scheduled", "pending", "processing", "completed", "failed", "cancelled"]
#: Every state, in the order of a life.
STATES: Final[tuple[State, ...]] = get_args(State)
TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A job's current state: the fold of its events. Times are microseconds since 1970, 0 = not yet."""

    job: str
    partition: int
    #: Position of the last event that this head reflects.
    position: int
    version: int
    state: State
    attempt: int
    actor: str
    queue: str
    tenant: str
    priority: int
    #: Who submitted it.
    by: str
    causation: str
    correlation: str
    traceparent: str
    submitted: int
    due: int = 0
    started: int = 0
    finished: int = 0
    at: int
    worker: str = ""
    deaths: int = 0
    percent: float = 0.0
    stage: str = ""
    cancel_requested: bool = False
    #: Who asked for the end of the running job.
    cancel_by: str = ""
    #: When it ends as expired, unless it started before; 0 = never.
    expires: int = 0
    #: The digest of its unique key, or empty.
    unique: str = ""
    result: Any = None
    error: Error | None = None
    #: Of a failed job: one word (see `Failed`). Of a cancelled one: why, in a person's words.
    reason: str = ""


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    data: Submitted


class Promote(msgspec.Struct, frozen=True, kw_only=True):
    now: int


class Expire(msgspec.Struct, frozen=True, kw_only=True):
    now: int


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    now: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    attempt: int
    data: Progressed | Output | StepCompleted


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    attempt: int
    data: Completed | Failed | Cancelled | RetryScheduled | Snoozed


class Release(msgspec.Struct, frozen=True, kw_only=True):
    attempt: int
    reason: str = ""


class LoseLease(msgspec.Struct, frozen=True, kw_only=True):
    max_deaths: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    reason: str = ""


class Replace(msgspec.Struct, frozen=True, kw_only=True):
    """Another job takes the unique key of this one."""

    job: str


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    reason: str = ""


Command: TypeAlias = (
    Submit
    | Promote
    | Expire
    | Claim
    | Report
    | Finish
    | Release
    | LoseLease
    | Cancel
    | Replace
    | Requeue
)

#: Why no event follows. `exists`: this id was submitted before. `stale`: the lease is another's now.
#: `already`: what was asked for is so. `ended`: the job is terminal. `waiting`: not in a state in which the
#: command means anything. `missing`: no such job.
Refusal: TypeAlias = Literal["exists", "stale", "already", "ended", "waiting", "missing"]


def died_error(worker: str, deaths: int) -> Error:
    """The error of a job that ended because its workers died."""
    return Error(type="WorkerDied", message=f"{deaths} leases lost, the last by worker {worker}")


def expired_error() -> Error:
    """The error of a job that did not start in time."""
    return Error(type="Expired", message="not started within its time to live")


def author(head: Head | None, data: EventData, by: str) -> str:
    """Who an event is by: the end of a job that was asked to stop is by who asked for it."""
    asked = head is not None and head.cancel_requested and isinstance(data, Cancelled)
    return head.cancel_by if head is not None and asked else by


def decide(head: Head | None, command: Command) -> list[EventData] | Refusal:  # noqa: C901
    """The events that a command causes on a head, or why it causes none."""
    if isinstance(command, Submit):
        return "exists" if head is not None else [command.data]
    if head is None:
        return "missing"
    match command:
        case Promote(now=now):
            return [Due()] if head.state == "scheduled" and head.due <= now else "waiting"
        case Expire(now=now):
            if head.state in ("scheduled", "pending") and _expired(head, now):
                return [Failed(error=expired_error(), reason="expired")]
            return "waiting"
        case Claim(worker=worker, now=now):
            if head.state != "pending":
                return "waiting"
            if _expired(head, now):
                return [Failed(error=expired_error(), reason="expired")]
            return [Started(worker=worker)]
        case Report(attempt=attempt, data=data):
            return [data] if _holds(head, attempt) else "stale"
        case Finish(attempt=attempt, data=data):
            if not _holds(head, attempt):
                return "stale"
            if head.cancel_requested and isinstance(data, Cancelled | RetryScheduled | Snoozed):
                return [Cancelled(reason=head.reason)]
            return [data]
        case Release(attempt=attempt, reason=reason):
            if not _holds(head, attempt):
                return "stale"
            return (
                [Cancelled(reason=head.reason)]
                if head.cancel_requested
                else [Released(reason=reason)]
            )
        case LoseLease(max_deaths=max_deaths):
            if head.state != "processing":
                return "waiting"
            lost = LeaseLost(worker=head.worker, deaths=head.deaths + 1)
            if head.cancel_requested:
                return [lost, Cancelled(reason=head.reason)]
            if lost.deaths > max_deaths:
                return [lost, Failed(error=died_error(lost.worker, lost.deaths), reason="died")]
            return [lost]
        case Cancel(reason=reason):
            if head.state in TERMINAL:
                return "ended"
            if head.state != "processing":
                return [Cancelled(reason=reason)]
            return "already" if head.cancel_requested else [CancelRequested(reason=reason)]
        case Replace(job=job):
            if head.state not in ("scheduled", "pending"):
                return "already"
            return [Cancelled(reason=f"replaced by {job}")]
        case Requeue(reason=reason):
            if head.state == "completed":
                return "ended"
            return [Requeued(reason=reason)] if head.state in TERMINAL else "already"
        case _:
            assert_never(command)


def _expired(head: Head, now: int) -> bool:
    return head.attempt == 0 and 0 < head.expires <= now


def _holds(head: Head, attempt: int) -> bool:
    return head.state == "processing" and head.attempt == attempt


def evolve(head: Head | None, event: Event) -> Head:
    """The head after an event of its job. Raises ValueError for an event that cannot follow."""
    data = event.data
    if isinstance(data, Submitted):
        return _born(event, data)
    if head is None:
        raise ValueError(
            f"{event.type} of job {event.job} at {event.position}: no job.submitted before"
        )
    if event.version != head.version + 1:
        raise ValueError(
            f"{event.type} of job {event.job} at {event.position}: "
            f"version {event.version}, expected {head.version + 1}"
        )
    return msgspec.structs.replace(
        head,
        position=event.position,
        version=event.version,
        at=event.at,
        **changes(data, event.attempt, event.at),
        **({"cancel_by": event.by} if isinstance(data, CancelRequested) else {}),
        **({"cancel_by": "", "expires": 0} if isinstance(data, Requeued) else {}),
    )


def changes(data: EventData, attempt: int, at: int) -> dict[str, Any]:  # noqa: C901
    """The fields of a Head that an event sets, besides position, version, at, and what only a later
    decision needs (cancel_by, expires).

    They never depend on the head, so the changes of several events are those of the last for each field.
    """
    changed: dict[str, Any]
    match data:  # the frequent ones first: projectors come here for every event
        case Started(worker=worker):
            changed = {
                "state": "processing",
                "attempt": attempt,
                "worker": worker,
                "started": at,
                "percent": 0.0,
                "stage": "",
            }
        case Completed(result=result):
            changed = {
                "state": "completed",
                "result": result,
                "error": None,
                "percent": 100.0,
                "reason": "",
            }
        case Progressed(percent=percent, stage=stage):
            changed = {"percent": percent, "stage": stage}
        case Output() | StepCompleted():
            changed = {}
        case Due():
            changed = {"state": "pending", "due": 0}
        case RetryScheduled(due=due, error=error):
            changed = {"state": "scheduled", "due": due, "error": error, "worker": ""}
        case Snoozed(due=due):
            changed = {"state": "scheduled", "due": due, "worker": ""}
        case Released():
            changed = {"state": "pending", "worker": ""}
        case LeaseLost(deaths=deaths):
            changed = {"state": "pending", "worker": "", "deaths": deaths}
        case CancelRequested(reason=reason):
            changed = {"cancel_requested": True, "reason": reason}
        case Failed(error=error, reason=reason):
            changed = {"state": "failed", "error": error, "reason": reason}
        case Cancelled(reason=reason):
            changed = {"state": "cancelled", "reason": reason}
        case Requeued():
            changed = {
                "state": "pending",
                "deaths": 0,
                "finished": 0,
                "cancel_requested": False,
                "error": None,
                "reason": "",
            }
        case Submitted():
            raise ValueError("job.submitted makes a head, it does not change one")
        case Administrative():
            raise ValueError(f"{type_of(data)} belongs to no job")
        case _:
            assert_never(data)
    if changed.get("state") in TERMINAL:
        changed |= {"finished": at, "worker": "", "due": 0}
    return changed


def _born(event: Event, data: Submitted) -> Head:
    return Head(
        job=event.job,
        partition=event.partition,
        position=event.position,
        version=event.version,
        state="scheduled" if data.due else "pending",
        attempt=0,
        actor=data.actor,
        queue=event.queue,
        tenant=event.tenant,
        priority=data.priority,
        by=event.by,
        causation=event.causation,
        correlation=event.correlation,
        traceparent=event.traceparent,
        submitted=event.at,
        due=data.due,
        expires=data.expires,
        unique=data.unique,
        at=event.at,
    )
