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
    #: Events of the history that is sealed, proved and rebuilt.
    events: int = 100_000
    #: Events of a rebuild: enough that what it does once for each table is not what is measured.
    rebuilt: int = 300_000
    #: Events that the projectors catch up on: so many that their start weighs little.
    behind: int = 400_000
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
    #: Partitions of the log that are compared, the one that the others stand beside first.
    partitions: tuple[int, ...] = (1, 2, 4)
    #: Clients of one job and events each second, and for how long.
    live_cells: tuple[tuple[int, int], ...] = (
        (1, 5),
        (100, 100),
        (1000, 10),
        (1000, 200),
        (1000, 500),
        (4000, 10),
    )
    live_seconds: float = 4.0
    #: Clients beside which the log is written; those that come back at once; events of a resume.
    live_clients: int = 1_000
    live_storm: int = 4_000
    live_past: int = 1_000_000
    #: Seconds for which jobs are polled and followed: over this time following pays once.
    live_watched_seconds: float = 120.0


QUICK = Scale(
    repeats=1,
    jobs=3_000,
    paced_seconds=3,
    idle_jobs=8,
    events=20_000,
    rebuilt=20_000,
    behind=20_000,
    past=200_000,
    pending=(1_000, 20_000),
    backlog=20_000,
    dispatch_jobs=1_280,
    wakes=50,
    live_cells=((1, 5), (200, 10), (200, 500)),
    live_seconds=1.5,
    live_clients=200,
    live_storm=400,
    live_past=50_000,
    live_watched_seconds=10.0,
)
