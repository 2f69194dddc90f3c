"""Owns how much a run does: the one place with counts and durations."""

from __future__ import annotations

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one run. A whole run takes about eight minutes on two cores, `QUICK` under two."""

    repeats: int = 3
    #: Over loopback TCP, as between machines, instead of the unix socket of the embedded stack.
    tcp: bool = False
    #: No-op jobs of one enqueue and drain.
    jobs: int = 20_000
    #: Seconds at 100 jobs/s.
    paced_seconds: int = 10
    #: Jobs sent one at a time to idle workers.
    idle_jobs: int = 25
    #: Events that the projectors catch up on.
    events: int = 100_000
    #: Events of the history that is read from its archive.
    past: int = 2_000_000
    #: Pending jobs that the dispatch prototypes hold while they are measured.
    pending: tuple[int, ...] = (1_000, 200_000)
    #: Pending jobs, and as many delayed ones, beside which a claim is measured.
    backlog: int = 1_000_000
    #: Jobs measured in each cell of the dispatch prototypes.
    dispatch_jobs: int = 3_840
    #: Idle wake-ups of the dispatch prototypes.
    wakes: int = 200


QUICK = Scale(
    repeats=1,
    jobs=3_000,
    paced_seconds=3,
    idle_jobs=8,
    events=20_000,
    past=200_000,
    pending=(1_000, 20_000),
    backlog=20_000,
    dispatch_jobs=1_280,
    wakes=50,
)
