"""Owns polling beside following: so many watchers of as many jobs, each of which makes progress each second.

Both sides are APIs over the same log and run at the same time; one is polled, one is followed.
"""

from __future__ import annotations

import time
from typing import Final

import redis

from bench.accounting import cpu_seconds
from bench.live import sides
from bench.live.clients import Clients
from bench.scale import Scale
from bench.table import Goal, Measure, lines
from triton.stack.engines import Engines

WATCHERS: Final = 100


def watched(started: Engines, client: redis.Redis, scale: Scale) -> list[str]:
    jobs = [sides.Log(client, queue="watched", job=f"watched-{n}") for n in range(WATCHERS)]
    path = "/api/v1/jobs/watched-{}"
    with (
        sides.triton(started, client, name="followed") as followed,
        sides.triton(started, client, name="polled") as polled,
        Clients(followed, WATCHERS, path=f"{path}/subscribe") as following,
        Clients(polled, WATCHERS, path=path, module="bench.live.polling") as polling,
    ):
        following.ask("open")
        time.sleep(1.0)  # the pollers begin within a second
        following.ask("mark")
        polling.ask("mark")
        before = cpu_seconds(followed.pid), cpu_seconds(polled.pid)
        asked = _progress(jobs, scale.live_watched_seconds)
        theirs, ours = polling.ask("report"), following.ask("report")
        used = cpu_seconds(followed.pid) - before[0], cpu_seconds(polled.pid) - before[1]
    # A connection costs a request once, so it pays in the long run.
    long = scale.live_watched_seconds >= WATCHERS
    goal = Goal("ratio", "at most", 0.01) if long else None
    what = f"{WATCHERS} watchers of {WATCHERS} jobs for {scale.live_watched_seconds:g} s"
    # Each follower asked once, before the clock ran, and again when its connection was closed.
    requests = WATCHERS + ours["closed"]
    return lines(
        (
            Measure(f"{what}: requests", "", "requests", "requests", goal, digits=0),
            Measure(f"{what}: CPU of the API", "s", "cpu", "cpu", digits=2),
            Measure(f"{what}: age of what is new, p50", "ms", "p50", "p50", digits=1),
            Measure(f"{what}: share of what was new that was seen", "", "share", "share", digits=2),
        ),
        [
            {
                "requests": requests,
                "cpu": used[0],
                "p50": ours["p50"],
                "share": ours["events"] / asked,
            }
        ],
        [
            {
                "requests": theirs["requests"],
                "cpu": used[1],
                "p50": theirs["p50"],
                "share": theirs["seen"] / asked,
            }
        ],
        "polling each second:",
    )


def _progress(jobs: list[sides.Log], seconds: float) -> int:
    """Each job once a second, one after the other; how many in all."""
    begin = time.monotonic()
    count = 0
    while time.monotonic() - begin < seconds:
        due = begin + count / len(jobs)
        time.sleep(max(0.0, due - time.monotonic()))
        jobs[count % len(jobs)].progress()
        count += 1
    time.sleep(1.0)  # what came last is polled for
    return count
