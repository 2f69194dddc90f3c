"""Owns `audit why`: what led to a job, what happened to it, and what it led to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from triton import keys
from triton.audit.indexed import administrative, children
from triton.audit.story import Told, line, told
from triton.causes import TALK, caller, count, error_text, failure, span, when
from triton.errors import NotFoundError
from triton.events.envelope import Event
from triton.events.render import data_of
from triton.events.types import Failed, LeaseLost, QueueResumed, Submitted
from triton.history import History
from triton.job import TERMINAL, Head, evolve

#: How far is walked up and down, and how many children are shown in all.
UP: Final = 32
DOWN: Final = 8
CHILDREN: Final = 200
_QUEUE_EVENTS: Final = ("queue.paused", "queue.drained", "queue.resumed")
#: The prefix of a causation that is a job.
_JOB: Final = "job:"
#: Whether jobs of a tenant may be told of.
Sees: TypeAlias = Callable[[str], bool]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A job on the way: `depth` is 1 for a parent or a child, and rises with the distance. `partition` and
    `position` are where it was submitted."""

    job: str
    depth: int
    parent: str
    actor: str
    state: str
    by: str
    submitted_at: str
    partition: int
    position: int
    text: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job is as it is: `because` in a few sentences, `story` event by event, `up` from its parent to
    where it all began, `down` what it caused, `queue` who held its queue while it was there."""

    job: str
    state: str
    because: list[str]
    story: list[Told]
    #: What its first cause is, where that is no job that the log knows.
    origin: str
    up: list[Link]
    down: list[Link]
    #: Whether more followed than is shown.
    down_cut: bool
    queue: list[Told]


class _Past(msgspec.Struct, frozen=True):
    """A job's history, without what it said of itself, and what it folds to."""

    head: Head
    events: list[Event]

    @property
    def submitted(self) -> Event:
        return next(event for event in self.events if isinstance(event.data, Submitted))


def everybody(tenant: str) -> bool:  # noqa: ARG001
    """Who sees all tenants."""
    return True


async def why(history: History, job: str, sees: Sees = everybody) -> Why:
    """`sees` says whether jobs of a tenant are there for who asks: a job may have been caused by one of
    another tenant, and may cause some. Raises NotFoundError, HoleError, UnavailableError."""
    past = await _past(history, job, sees)
    if past is None:
        partition = keys.partition_of(job, history.partitions)
        gone = await history.expired(partition)
        more = f"; all up to position {gone} of partition {partition} has expired" if gone else ""
        raise NotFoundError(f"the log knows no job {job!r}{more}", job=job)
    up, origin = await _up(history, past, sees)
    down, cut = await _down(history, past, sees)
    held = await _held(history, past)
    return Why(
        job=job,
        state=past.head.state,
        because=_because(past, up, origin, held),
        story=[line(event) for event in past.events],
        origin=origin,
        up=up,
        down=down,
        down_cut=cut,
        queue=held,
    )


async def _past(history: History, job: str, sees: Sees) -> _Past | None:
    head: Head | None = None
    events: list[Event] = []
    async for event in history.job(job):
        if isinstance(event.data, Submitted):
            events = []  # an id that came back is another job
        elif head is None:
            continue
        head = evolve(head, event)
        if event.type not in TALK:
            events.append(event)
    return _Past(head, events) if head is not None and sees(head.tenant) else None


async def _up(history: History, past: _Past, sees: Sees) -> tuple[list[Link], str]:
    links: list[Link] = []
    seen = {past.head.job}
    causation, child = past.head.causation, past.head.job
    while causation.startswith(_JOB) and len(links) < UP:
        parent = causation.removeprefix(_JOB)
        found = None if parent in seen else await _past(history, parent, sees)
        if found is None:
            return links, f"job {parent}, of which nothing can be told any more"
        seen.add(parent)
        links.append(_link(found, len(links) + 1, child))
        causation, child = found.head.causation, parent
    if causation:
        return links, causation
    return links, caller(links[-1].by if links else past.head.by, "an application")


async def _down(history: History, past: _Past, sees: Sees) -> tuple[list[Link], bool]:
    links: list[Link] = []
    seen = {past.head.job}
    level = [past]
    for depth in range(1, DOWN + 1):
        following: list[_Past] = []
        for parent in level:
            room = CHILDREN - len(links)
            if room <= 0:
                return links, True
            found = await children(history, _JOB + parent.head.job, parent.submitted.at, limit=room)
            for job in found:
                child = None if job in seen else await _past(history, job, sees)
                if child is not None:
                    seen.add(job)
                    following.append(child)
                    links.append(_link(child, depth, parent.head.job))
        if not following:
            return links, False
        level = following
    return links, True


async def _held(history: History, past: _Past) -> list[Told]:
    """Who held the job's queue, and let it go, while the job was there; and who had it held before, where
    PostgreSQL knows: the log itself is not looked through from its beginning for that."""
    partition = keys.partition_of(past.head.job, history.partitions)
    begin, last = past.submitted.position, past.head.position
    if past.head.state not in TERMINAL:
        last = await history.position(partition)
    found: list[Event] = []
    first = begin if history.past.index is None else 1
    async for event in administrative(history, partition, _QUEUE_EVENTS, first, last):
        if data_of(event.data).get("queue") == past.head.queue:
            if event.position < begin:
                found.clear()
                if isinstance(event.data, QueueResumed):
                    continue
            found.append(event)
    return [line(event) for event in found]


def _link(past: _Past, depth: int, parent: str) -> Link:
    begun = line(past.submitted)
    return Link(
        job=past.head.job,
        depth=depth,
        parent=parent,
        actor=past.head.actor,
        state=past.head.state,
        by=past.head.by,
        submitted_at=begun.at,
        partition=begun.partition,
        position=begun.position,
        text=told(past.events[-1]),
    )


def _because(past: _Past, up: list[Link], origin: str, held: list[Told]) -> list[str]:
    head, last = past.head, past.events[-1]
    place = f"position {last.partition}:{last.position}"
    said = [f"It is {head.state} since {when(last.at)} ({place}): {told(last)}"]
    began = past.submitted
    key = f", under the unique key {head.unique}" if head.unique else ""
    said.append(
        f"{caller(head.by)} ({_kind(head.by)}) submitted it at {when(began.at)} to queue {head.queue}{key}."
    )
    if up:
        said.append(
            f"It was caused by job {up[0].job}"
            + (f", {count(len(up), 'step')} from where it began" if len(up) > 1 else "")
            + f"; in the end by {origin}."
        )
    elif head.causation:
        said.append(f"Its cause is {origin}.")
    lost = [event for event in past.events if isinstance(event.data, LeaseLost)]
    if lost:
        places = ", ".join(f"{event.partition}:{event.position}" for event in lost)
        said.append(f"{count(len(lost), 'worker')} died under it ({places}).")
    if isinstance(last.data, Failed):
        said.append(f"What ended it: {failure(last.data.reason, data_of(last.data)['error'])}.")
    elif head.error is not None and head.state not in TERMINAL:
        said.append(f"Its last error: {error_text(data_of_error(head))}.")
    if head.attempt > 1:
        took = span(head.at - began.at)
        said.append(f"It was started {head.attempt} times in {took}.")
    if held:
        said.append(f"Its queue was held or opened {count(len(held), 'time')} meanwhile.")
    return said


def data_of_error(head: Head) -> dict[str, str]:
    """The head's error as events show one."""
    return msgspec.structs.asdict(head.error) if head.error is not None else {}


def _kind(by: str) -> str:
    return {
        "user": "a person",
        "key": "an API key",
        "worker": "a worker",
    }.get(by.partition(":")[0], "which named nobody" if by in ("", "system") else "a program")
