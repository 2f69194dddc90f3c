"""Owns whether a part of the log has outlived its retention: all of it, and none under a hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from triton.audit.rules import DAY, Hold, Retention, days_of, held_by
from triton.causes import when
from triton.events.entries import Page
from triton.events.envelope import AT, JOB, QUEUE, TENANT, TYPE
from triton.events.types import HoldPlaced


class Contents:
    """What pages hold, as far as rules ask: whose events, and when each had its last one."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()
        self.last: dict[tuple[str, str], int] = {}
        #: The names of holds whose events these are.
        self.placed: set[str] = set()

    def take(self, page: Page) -> None:
        self.jobs.update(job.decode() for job in set(page.columns[JOB]) if job)
        for tenant, queue, at in zip(
            page.columns[TENANT], page.columns[QUEUE], map(int, page.columns[AT]), strict=True
        ):
            place = tenant.decode(), queue.decode()
            self.last[place] = max(at, self.last.get(place, 0))
        for index, kind in enumerate(page.columns[TYPE]):
            if kind == b"hold.placed":
                data = page.entry(index).event().data
                self.placed.add(data.hold if isinstance(data, HoldPlaced) else "")

    def kept_by(self, rules: Collection[Retention], holds: Sequence[Hold], now: int) -> str:
        """Why this may not expire at a time (microseconds since 1970); empty where it may.

        An event that belongs to no job is under the rule of its tenant and of no queue.
        """
        tenants = {tenant for tenant, _ in self.last}
        queues = {queue for _, queue in self.last}
        hold = held_by(holds, tenants, queues, self.jobs)
        if hold is not None:
            return f"{hold.hold} holds {hold.scope} {hold.value}"
        for hold in holds:
            # Without PostgreSQL its event is all that says that it holds.
            if not hold.lifted_at and hold.hold in self.placed:
                return f"{hold.hold} was placed here"
        until = 0
        for (tenant, queue), at in sorted(self.last.items()):
            days = days_of(rules, tenant, queue)
            if not days:
                return f"tenant {tenant or '-'}, queue {queue or '-'} is kept for ever"
            until = max(until, at + days * DAY)
        return f"kept until {when(until)}" if until > now else ""
