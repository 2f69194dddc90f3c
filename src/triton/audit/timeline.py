"""Owns `audit at`: any job, the queues, or a list of jobs, as of an instant of the log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from triton import keys
from triton.audit.cuts import check_kept
from triton.audit.instants import Cut
from triton.audit.states import HeldQueue, Standing, States, by_queue, by_state
from triton.audit.story import told
from triton.errors import ExpiredError, NotFoundError
from triton.events.entries import Page
from triton.events.envelope import Event
from triton.events.render import rfc3339
from triton.events.types import Submitted
from triton.history import History
from triton.job import Head, evolve
from triton.job_view import JobView, from_head


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """The instant that an answer is about: `at` is RFC 3339, null for before everything; `positions` the
    last position of each partition that is in it, `expired` the last one that has expired (0 for none): what
    it says is of the positions between."""

    asked: str
    at: str | None
    positions: tuple[int, ...]
    expired: tuple[int, ...] = ()


class JobAt(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was; its arguments as they were submitted."""

    as_of: AsOf
    job: JobView
    #: The last event that it reflects, as it would be said to a person.
    last: str


class ListedJob(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list. Times are RFC 3339, `position` is of the job's last event."""

    job: str
    state: str
    queue: str
    tenant: str
    actor: str
    attempt: int
    submitted_at: str
    updated_at: str
    partition: int
    position: int


class QueueAt(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it was: jobs by state, and who held it."""

    name: str
    states: dict[str, int]
    held: HeldQueue | None


class JobsAt(msgspec.Struct, frozen=True, kw_only=True):
    """All jobs as they were. `jobs` are the newest `limit` of the chosen ones, `total` counts all of them."""

    as_of: AsOf
    events: int
    states: dict[str, int]
    queues: list[QueueAt]
    total: int
    jobs: list[ListedJob]
    #: Events of jobs whose beginning expired, and events that could not be read: neither is counted.
    beheaded: int
    unread: int


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are wanted; None does not filter."""

    status: str | None = None
    queue: str | None = None
    tenant: str | None = None
    actor: str | None = None

    def fits(self, standing: Standing) -> bool:
        return all(
            wanted is None or wanted == found
            for wanted, found in (
                (self.status, standing.state),
                (self.queue, standing.queue),
                (self.tenant, standing.tenant),
                (self.actor, standing.actor),
            )
        )


def as_of(cut: Cut) -> AsOf:
    return AsOf(asked=cut.text, at=rfc3339(cut.at), positions=cut.positions, expired=cut.expired)


async def folded(history: History, job: str, until: int) -> tuple[Head, bytes, Event] | None:
    """The job's head at a position of its partition, its message as it was submitted, and its last event;
    None where it was not there yet. Raises HoleError, UnavailableError, DecodeError, ValueError."""
    head: Head | None = None
    body = b""
    last: Event | None = None
    if until:
        async for event in history.job(job, until=until):
            if isinstance(event.data, Submitted):
                body = event.data.body
            elif head is None:
                continue  # its beginning expired
            head, last = evolve(head, event), event
    return (head, body, last) if head is not None and last is not None else None


async def job_at(history: History, job: str, cut: Cut) -> JobAt:
    """Raises NotFoundError where the log did not know the job then."""
    partition = keys.partition_of(job, history.partitions)
    found = await folded(history, job, cut.positions[partition])
    if found is None and cut.expired and cut.expired[partition]:
        raise ExpiredError(
            f"the log knows no job {job!r} as of {cut.text}: all up to position {cut.expired[partition]} of "
            f"partition {partition} has expired, and with it perhaps the job",
            job=job,
            until=cut.expired[partition],
        )
    if found is None:
        raise NotFoundError(f"the log knew no job {job!r} as of {cut.text}", job=job)
    head, body, last = found
    return JobAt(as_of=as_of(cut), job=from_head(head, body), last=told(last))


async def jobs_at(history: History, cut: Cut, chosen: Chosen, *, limit: int = 100) -> JobsAt:
    """The fold of everything up to the instant that has not expired. Raises ExpiredError where that is
    nothing."""
    check_kept(cut)
    states = States()
    async for page in pages(history, cut):
        states.take(page)
    wanted = [one for one in states.jobs.values() if chosen.fits(one)]
    newest = sorted(wanted, key=lambda one: (one.submitted, one.job), reverse=True)[:limit]
    held = {one.queue: one for one in states.held()}
    counts = by_queue(wanted)
    names = sorted({*counts, *held} if chosen.queue is None else {chosen.queue})
    return JobsAt(
        as_of=as_of(cut),
        events=states.events,
        states=by_state(wanted),
        queues=[
            QueueAt(name=name, states=counts.get(name, {}), held=held.get(name)) for name in names
        ],
        total=len(wanted),
        jobs=[listed(one) for one in newest],
        beheaded=states.beheaded,
        unread=states.unread,
    )


async def pages(
    history: History, upto: Cut, after: tuple[int, ...] | None = None
) -> AsyncIterator[Page]:
    """All pages up to an instant, one partition after the other; after other positions where given."""
    for partition, last in enumerate(upto.positions):
        first = max(1, await history.first_position(partition))
        if after is not None:
            first = max(first, after[partition] + 1)
        if first <= last:
            async for page in history.pages(partition, first, last):
                yield page


def listed(one: Standing) -> ListedJob:
    return ListedJob(
        job=one.job,
        state=one.state,
        queue=one.queue,
        tenant=one.tenant,
        actor=one.actor,
        attempt=one.attempt,
        submitted_at=rfc3339(one.submitted) or "",
        updated_at=rfc3339(one.at) or "",
        partition=one.partition,
        position=one.position,
    )
