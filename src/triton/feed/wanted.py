"""Owns what a follower of many jobs asked for: its filter, and which topics wake it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from triton import keys
from triton.events.entries import Page
from triton.events.envelope import JOB
from triton.feed.topics import Topic, topic
from triton.history.filters import Filter

#: Values of one connection's filters at most.
MOST: Final = 1000

#: Where who has no cursor begins: what happens from now on, the first event that is kept anywhere, or the
#: first at a time (microseconds since 1970) or later.
Begin: TypeAlias = Literal["now", "earliest"] | int


class Wanted(msgspec.Struct, frozen=True):
    """Events of jobs that fit the filter. The tenant is always part of it."""

    chosen: Filter
    #: Whether jobs that are named come with their state.
    snapshots: bool = True

    def partitions(self, count: int) -> Sequence[int]:
        """Those that may hold such events."""
        if self.chosen.jobs is None:
            return range(count)
        return sorted({keys.partition_of(job, count) for job in self.chosen.jobs})

    def topics(self) -> tuple[Topic, ...]:
        """Each wanted event has one of them. The kind that wakes least is taken."""
        for kind, values in (
            ("job", self.chosen.jobs),
            ("correlation", self.chosen.correlations),
            ("queue", self.chosen.queues),
            ("type", self.chosen.types),
            ("tenant", self.chosen.tenants),
        ):
            if values is not None:
                return tuple(topic(kind, value) for value in sorted(values))
        return (topic("all"),)

    def mask(self, page: Page, fits: object = None) -> list[bool]:
        """For each entry of a page whether it is wanted. `fits` says of a job whether its actor is."""
        found = self.chosen.mask(page, fits)  # type: ignore[arg-type]
        return [wanted and job != b"" for wanted, job in zip(found, page.columns[JOB], strict=True)]

    def shows(self, job: str, tenant: str, correlation: str) -> bool:
        """Whether the state of a job that was named, of this tenant and batch, may be told."""
        tenants, correlations = self.chosen.tenants, self.chosen.correlations
        return (tenants is None or tenant in tenants) and (
            correlations is None or (correlation or job) in correlations
        )

    @property
    def ends(self) -> bool:
        """Whether it is about certain jobs and all of their events: then it can be over."""
        return self.chosen.jobs is not None and self.chosen.types is None
