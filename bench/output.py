"""Owns streamed output, from `output()` in a worker to the client of the API: how late, in how many entries.

The worker, the API and the client are processes of their own. What is counted is what the client was sent.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import dramatiq
import httpx
import msgspec

from bench.apps.record import URL
from bench.live import sides
from bench.scale import Scale
from bench.servers import engines, environment
from bench.table import Goal, Measure, Sample, lines, percentile
from triton import TritonBroker, migrate
from triton.events.client import connect
from triton.stack.processes import Spec

#: Pieces a second: of a model, of many models, and of a loop.
RATES: Final = (50, 1_000, 0)
SECONDS: Final = 4.0


def run(scale: Scale) -> list[str]:
    found: list[str] = []
    with engines() as started:
        migrate.up(started.database_url, started.clickhouse_url)
        with connect(started.redis_url) as client, sides.triton(started, client) as api:
            argv = ("-m", "dramatiq", "bench.apps.talking", "--processes", "1", "--threads", "1")
            env = environment({URL: started.redis_url})
            spec = Spec(
                name="talking",
                argv=(sys.executable, *argv),
                env=env,
                stage=1,
                grace=3.0,
                restart=False,
            )
            started.supervisor.spawn(spec)
            try:
                _told(api.port, started.redis_url, 50, 0.5)
                for rate in RATES:
                    samples = [
                        _told(api.port, started.redis_url, rate, SECONDS)
                        for _ in range(scale.repeats)
                    ]
                    found += lines(_measures(rate), samples, [])
            finally:
                started.supervisor.stop_child("talking")
    return found


def _measures(rate: int) -> tuple[Measure, ...]:
    what = f"output() {rate:,} times a second" if rate else "output() in a loop"
    most = Goal("figure", "at most", 100)
    return (
        Measure(f"{what}: to the client, p50", "ms", "p50", digits=1),
        Measure(f"{what}: to the client, p99", "ms", "p99", goal=most if rate else None, digits=1),
        Measure(f"{what}: calls", "1/s", "calls"),
        Measure(f"{what}: entries of the log", "1/s", "entries", goal=most),
    )


def _told(port: int, url: str, rate: int, seconds: float) -> Sample:
    """One job, followed to its end by a client of the API."""
    broker = TritonBroker(url=url)
    try:
        asked: dramatiq.Message[Any] = dramatiq.Message("default", "talk", (rate, seconds), {}, {})
        message = broker.enqueue(asked)
    finally:
        broker.close()
    late: list[float] = []
    entries, rest = 0, ""
    path = f"http://127.0.0.1:{port}/api/v1/events/subscribe"
    query = {"job_id": message.message_id, "from": "earliest"}
    with httpx.stream("GET", path, params=query, timeout=30) as answer:
        for line in answer.iter_lines():
            now = time.monotonic_ns()
            if line.startswith("event: triton.end"):
                break
            if not line.startswith('data: {"specversion"'):
                continue
            event = msgspec.json.decode(line[6:])
            if event["type"] == "job.output":
                entries += 1
                *stamps, rest = (rest + event["data"]["chunk"]).split(";")
                late += [(now - int(stamp)) / 1e6 for stamp in stamps]
    return {
        "p50": percentile(late, 50),
        "p99": percentile(late, 99),
        "calls": len(late) / seconds,
        "entries": entries / seconds,
    }
