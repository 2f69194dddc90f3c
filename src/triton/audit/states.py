"""Owns the fold of all jobs to what an auditor counts: state, queue, tenant; and who held which queue. Pure.

Works on columns and decodes little. What a whole job was is folded by `triton.job.evolve`; a property test
holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from triton.errors import DecodeError
from triton.events.codec import decode_data
from triton.events.entries import Page
from triton.events.envelope import AT, ATTEMPT, BY, DATA, JOB, QUEUE, SCHEMA, TENANT, TYPE
from triton.events.types import QueueDrained, QueuePaused, Submitted

_SUBMITTED: Final = b"job.submitted"
#: Event type -> the state that follows.
_AFTER: Final = {
    b"job.due": "pending",
    b"job.started": "processing",
    b"job.retry_scheduled": "scheduled",
    b"job.snoozed": "scheduled",
    b"job.released": "pending",
    b"job.lease_lost": "pending",
    b"job.completed": "completed",
    b"job.failed": "failed",
    b"job.cancelled": "cancelled",
    b"job.requeued": "pending",
}
_HOLDS: Final = {b"queue.paused": "paused", b"queue.drained": "draining", b"queue.resumed": "open"}


class Standing(msgspec.Struct, gc=False, kw_only=True):
    """Where a job stands. Times are microseconds since 1970."""

    job: str
    state: str
    queue: str
    tenant: str
    actor: str
    attempt: int
    submitted: int
    at: int
    partition: int
    position: int


class HeldQueue(msgspec.Struct, frozen=True, kw_only=True):
    """Who paused or drained a queue. `since` is microseconds since 1970."""

    queue: str
    state: str
    by: str
    reason: str
    since: int


class States:
    """All jobs after the pages that were taken, each partition in order."""

    def __init__(self) -> None:
        self.jobs: dict[str, Standing] = {}
        self.events = 0
        #: Events of jobs whose beginning is not kept any more, and those that could not be read.
        self.beheaded = 0
        self.unread = 0
        self._held: dict[tuple[str, int], HeldQueue] = {}

    def take(self, page: Page) -> None:
        """Fold the entries of a page in."""
        self.events += page.size
        kinds, jobs, attempts, ats = (page.columns[field] for field in (TYPE, JOB, ATTEMPT, AT))
        for index, (kind, job, attempt, at) in enumerate(
            zip(kinds, jobs, attempts, ats, strict=True)
        ):
            if not job:
                if kind in _HOLDS:
                    self._hold(page, index, _HOLDS[kind])
                continue
            name = job.decode()
            if kind == _SUBMITTED:
                self.jobs[name] = self._born(page, index, name)
                continue
            standing = self.jobs.get(name)
            if standing is None:
                self.beheaded += 1
                continue
            standing.state = _AFTER.get(kind, standing.state)
            standing.attempt = int(attempt)
            standing.at = int(at)
            standing.position = page.positions[index]

    def held(self) -> list[HeldQueue]:
        """The queues that are paused or drained, by name."""
        found: dict[str, HeldQueue] = {}
        for (queue, _), held in sorted(self._held.items(), key=lambda one: one[1].since):
            found.setdefault(queue, held)
        return [found[queue] for queue in sorted(found)]

    def _born(self, page: Page, index: int, job: str) -> Standing:
        at = int(page.columns[AT][index])
        due, actor = 0, ""
        data = self._data(page, index)
        if isinstance(data, Submitted):
            due, actor = data.due, data.actor
        return Standing(
            job=job,
            state="scheduled" if due else "pending",
            queue=page.columns[QUEUE][index].decode(),
            tenant=page.columns[TENANT][index].decode(),
            actor=actor,
            attempt=0,
            submitted=at,
            at=at,
            partition=page.partition,
            position=page.positions[index],
        )

    def _hold(self, page: Page, index: int, state: str) -> None:
        data = self._data(page, index)
        if isinstance(data, QueuePaused | QueueDrained):
            self._held[data.queue, page.partition] = HeldQueue(
                queue=data.queue,
                state=state,
                by=page.columns[BY][index].decode(),
                reason=data.reason,
                since=int(page.columns[AT][index]),
            )
        elif data is not None:
            self._held.pop((getattr(data, "queue", ""), page.partition), None)

    def _data(self, page: Page, index: int) -> object:
        kind, schema, raw = (page.columns[field][index] for field in (TYPE, SCHEMA, DATA))
        try:
            return decode_data(kind.decode(), int(schema), raw)
        except DecodeError:
            self.unread += 1
            return None


def by_state(standings: Iterable[Standing]) -> dict[str, int]:
    """How many jobs are in each state."""
    counts: dict[str, int] = {}
    for standing in standings:
        counts[standing.state] = counts.get(standing.state, 0) + 1
    return counts


def by_queue(standings: Iterable[Standing]) -> dict[str, dict[str, int]]:
    """The same for each queue."""
    counts: dict[str, dict[str, int]] = {}
    for standing in standings:
        queue = counts.setdefault(standing.queue, {})
        queue[standing.state] = queue.get(standing.state, 0) + 1
    return counts
