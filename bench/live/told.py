"""Owns progress on its way from a worker to many clients: from before `progress()` to when they have it.

A worker, the API and the clients are processes of their own. All clients follow the queue of all jobs.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import dramatiq
import redis

from bench.accounting import Foreign
from bench.apps.record import URL
from bench.live import sides
from bench.live.clients import Clients
from bench.scale import Scale
from bench.servers import environment
from bench.table import Goal, Measure, Sample, lines
from triton import TritonBroker
from triton.stack.engines import Engines
from triton.stack.processes import Spec

#: Jobs that tell their progress at the same time, and how often each does in a second. The worker joins what
#: one job says more than ten times a second.
JOBS: Final = 25
RATE: Final = 8
#: Seconds that the last event may take.
_DRAIN: Final = 10.0


def told(started: Engines, client: redis.Redis, scale: Scale) -> list[str]:
    argv = ("-m", "dramatiq", "bench.apps.telling", "--processes", "1", "--threads", str(JOBS))
    spec = Spec(
        name="telling",
        argv=(sys.executable, *argv),
        env=environment({URL: started.redis_url}),
        stage=1,
        grace=3.0,
        restart=False,
    )
    with sides.triton(started, client) as api:
        sides.pin(started.supervisor.spawn(spec).pid)
        try:
            _all(started, api, scale, 0.5)
            found = [_all(started, api, scale, scale.live_seconds) for _ in range(scale.repeats)]
        finally:
            started.supervisor.stop_child("telling")
    what = f"progress() to {scale.live_clients:,} clients, {JOBS * RATE} events/s"
    return lines(
        (
            Measure(f"{what}: share that arrived", "", "share", digits=2),
            Measure(f"{what}: p50", "ms", "p50", digits=1),
            Measure(f"{what}: p99", "ms", "p99", goal=Goal("figure", "at most", 100), digits=1),
        ),
        found,
        [],
    )


def _all(started: Engines, api: sides.Triton, scale: Scale, seconds: float) -> Sample:
    """Every job once, from its first progress to its last."""
    times = round(seconds * RATE)
    expected = JOBS * times * scale.live_clients
    path = "/api/v1/events/subscribe?queue=telling"
    with Clients(api, scale.live_clients, path=path) as load:
        load.ask("open")
        load.ask("mark")
        with Foreign() as foreign:
            _submit(started.redis_url, times)
            time.sleep(seconds)
            deadline = time.monotonic() + _DRAIN
            while (found := load.ask("report"))["events"] < expected:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
    return {
        "share": found["events"] / expected,
        "p50": found["p50"],
        "p99": found["p99"],
        "foreign:": foreign.cores,
    }


def _submit(url: str, times: int) -> None:
    broker = TritonBroker(url=url)
    try:
        for count in range(JOBS):
            asked: dramatiq.Message[Any] = dramatiq.Message(
                "telling", "tell", (times, 1 / RATE), {}, {}
            )
            broker.enqueue(asked)
            # Not all of them say something at the same moment.
            time.sleep(1 / RATE / JOBS if count else 0.0)
    finally:
        broker.close()
