"""Owns `audit diff`: what changed between two instants of the log."""

from __future__ import annotations

import msgspec

from triton.audit.cuts import check_kept
from triton.audit.instants import Cut
from triton.audit.states import HeldQueue, Standing, States, by_queue, by_state
from triton.audit.timeline import AsOf, as_of, pages
from triton.errors import ValidationError
from triton.events.entries import Page
from triton.events.envelope import JOB, TYPE
from triton.events.render import rfc3339
from triton.history import History
from triton.job import TERMINAL


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A number of jobs at each of the two instants."""

    before: int
    after: int


class ChangedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose state differs; `before` is empty for one that was not there. `updated_at` and `position`
    are of its last event."""

    job: str
    queue: str
    tenant: str
    actor: str
    before: str
    after: str
    updated_at: str
    partition: int
    position: int


class ChangedQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue whose jobs, or whose hold, differ."""

    name: str
    states: dict[str, Counted]
    held_before: HeldQueue | None
    held_after: HeldQueue | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What changed. `changed` are the first `limit` jobs by their last event; `total` counts all."""

    before: AsOf
    after: AsOf
    #: Event type -> how many happened between.
    events: dict[str, int]
    states: dict[str, Counted]
    #: Jobs that were submitted between; jobs that had not ended and have, by how.
    new: int
    ended: dict[str, int]
    queues: list[ChangedQueue]
    total: int
    changed: list[ChangedJob]


class _Seen:
    """What a fold is at one instant."""

    def __init__(self, states: States) -> None:
        self.states = by_state(states.jobs.values())
        self.queues = by_queue(states.jobs.values())
        self.held = {one.queue: one for one in states.held()}


async def difference(history: History, before: Cut, after: Cut, *, limit: int = 100) -> Difference:
    """Raises ValidationError where the second instant is before the first one, ExpiredError where nothing is
    left of what was then."""
    check_kept(before)
    places = zip(before.positions, after.positions, strict=True)
    if after.at < before.at or any(late < early for early, late in places):
        raise ValidationError(
            f"{after.text} is before {before.text}: give the earlier instant first"
        )
    states, types = States(), dict[str, int]()
    async for page in pages(history, before):
        states.take(page)
    first = _Seen(states)
    touched: dict[str, str] = {}
    async for page in pages(history, after, before.positions):
        _touch(page, states, touched, types)
        states.take(page)
    second = _Seen(states)
    # A job of which nothing is known began where the log is not kept any more.
    changed = [
        (standing, was)
        for job, was in touched.items()
        if (standing := states.jobs.get(job)) is not None and standing.state != was
    ]
    changed.sort(key=lambda one: (one[0].at, one[0].partition, one[0].position))
    ended: dict[str, int] = {}
    for standing, was in changed:
        if standing.state in TERMINAL and was not in TERMINAL:
            ended[standing.state] = ended.get(standing.state, 0) + 1
    return Difference(
        before=as_of(before),
        after=as_of(after),
        events=dict(sorted(types.items())),
        states=_counted(first.states, second.states),
        new=sum(not was for _, was in changed),
        ended=ended,
        queues=_queues(first, second),
        total=len(changed),
        changed=[_changed(standing, was) for standing, was in changed[:limit]],
    )


def _touch(page: Page, states: States, touched: dict[str, str], types: dict[str, int]) -> None:
    for kind, raw in zip(page.columns[TYPE], page.columns[JOB], strict=True):
        name = kind.decode()
        types[name] = types.get(name, 0) + 1
        job = raw.decode()
        if job and job not in touched:
            standing = states.jobs.get(job)
            touched[job] = standing.state if standing else ""


def _counted(before: dict[str, int], after: dict[str, int]) -> dict[str, Counted]:
    return {
        name: Counted(before=before.get(name, 0), after=after.get(name, 0))
        for name in sorted({*before, *after})
    }


def _queues(first: _Seen, second: _Seen) -> list[ChangedQueue]:
    found = []
    for name in sorted({*second.queues, *first.held, *second.held}):
        before, after = first.queues.get(name, {}), second.queues.get(name, {})
        held = first.held.get(name), second.held.get(name)
        if before != after or held[0] != held[1]:
            states = _counted(before, after)
            found.append(
                ChangedQueue(name=name, states=states, held_before=held[0], held_after=held[1])
            )
    return found


def _changed(standing: Standing, was: str) -> ChangedJob:
    return ChangedJob(
        job=standing.job,
        queue=standing.queue,
        tenant=standing.tenant,
        actor=standing.actor,
        before=was,
        after=standing.state,
        updated_at=rfc3339(standing.at) or "",
        partition=standing.partition,
        position=standing.position,
    )
