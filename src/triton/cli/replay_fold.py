"""Owns the fold of a replay: a log's events, taken in their order, become each job's head as it was then."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec

from triton.events.envelope import Event
from triton.events.types import Submitted
from triton.history import History
from triton.job import Head, evolve


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What was folded of a partition: positions `first` to `last`, both 0 for none."""

    partition: int
    epoch: str
    first: int
    last: int
    #: The last position that expired, 0 for none: it and what was before it are not in the fold.
    expired: int


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """The log as it was at a position, and what happened from another one on."""

    ranges: Sequence[Range]
    #: Of the jobs of which something happened, in the order in which it first did.
    heads: Sequence[Head]
    #: How many events of each type.
    types: Counter[str]
    #: Events of jobs whose beginning is not kept any more.
    beheaded: int


class Fold:
    """The heads of all jobs after the events that were taken."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        #: Events of jobs whose beginning is not kept any more.
        self.beheaded = 0

    def take(self, event: Event) -> Head | None:
        """The job's head after the event; None where its first events are not kept any more, and for
        an administrative event."""
        head = self.heads.get(event.job)
        if not event.job:
            return None
        if head is None and not isinstance(event.data, Submitted):
            self.beheaded += 1
            return None
        head = self.heads[event.job] = evolve(head, event)
        return head


async def fold_log(
    log: History, partitions: Sequence[int], *, first: int, last: int | None
) -> Folded:
    """All that is kept up to `last` (None: to the end); what happened is counted from `first` on."""
    fold, ranges = Fold(), []
    types: Counter[str] = Counter()
    touched: dict[str, None] = {}
    for partition in partitions:
        oldest, position = 0, 0
        begin = max(1, await log.first_position(partition))
        async for event in log.events(partition, begin, last):
            position = event.position
            oldest = oldest or position
            head = fold.take(event)
            if position >= first:
                types[event.type] += 1
                if head is not None:
                    touched[event.job] = None
        ranges.append(
            Range(
                partition=partition,
                epoch=log.epochs[partition],
                first=oldest,
                last=position,
                expired=await log.expired(partition),
            )
        )
    heads = [fold.heads[job] for job in touched]
    return Folded(ranges=ranges, heads=heads, types=types, beheaded=fold.beheaded)


async def fold_job(
    log: History, job: str, *, last: int | None
) -> AsyncIterator[tuple[Event, Head | None]]:
    """The job's events up to `last`, each with the head after it, as `Fold.take` answers it."""
    fold = Fold()
    async for entry in log.job_entries(job, until=last):
        event = entry.event()
        yield event, fold.take(event)
