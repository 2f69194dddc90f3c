"""Owns the cells of the comparison, and the lines of the table that come of them."""

from __future__ import annotations

import http.client
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import redis

from bench.accounting import Foreign, cpu_seconds
from bench.live import sides
from bench.live.clients import Clients
from bench.live.sides import Side, Triton
from bench.live.told import told
from bench.live.watched import watched
from bench.scale import Scale
from bench.servers import engines
from bench.table import Goal, Measure, Sample, lines
from triton import migrate
from triton.events.client import connect
from triton.stack.engines import Engines

#: Seconds that a side may take to deliver what was published.
_DRAIN = 10.0
#: How often it is written beside clients: a second's rate differs from the next one's by a tenth and more.
_WRITING_TURNS = 9


def run(scale: Scale) -> list[str]:
    table = []
    with engines() as started:
        migrate.up(started.database_url, started.clickhouse_url)
        with connect(started.redis_url) as client:
            with sides.triton(started, client):
                pass  # the log exists from here on
            for clients, rate in scale.live_cells:
                table += _cell(started, client, clients, rate, scale)
            table += _alone(started, client, scale)
            table += told(started, client, scale)
            table += watched(started, client, scale)
    return table


def _cell(
    started: Engines, client: redis.Redis, clients: int, rate: int, scale: Scale
) -> list[str]:
    """Every side in turn: so many clients of one job, so many events each second."""
    found: dict[str, list[Sample]] = {}
    for _ in range(scale.repeats):
        for name, open_side in _sides(started, client).items():
            with open_side() as side:
                sample = _delivered(side, clients, rate, scale.live_seconds)
            found.setdefault(name, []).append(sample)
    ours = found.pop("Triton")
    what = f"{clients:,} clients of one job, {rate} events/s"
    many = clients >= 1000
    table = []
    for name, theirs in found.items():
        goal = None
        if name == "floor" and many:
            goal = Goal("ratio", "at least", 4 if rate >= 100 else 0.5)
        per_cpu = Measure(f"{what}: delivered", "events/CPU s", "per_cpu", "per_cpu", goal)
        share = Measure(f"{what}: share that arrived", "", "share", "share", digits=2)
        p50 = Measure(f"{what}: p50", "ms", "p50", "p50", digits=1)
        p99 = Measure(f"{what}: p99", "ms", "p99", "p99", Goal("figure", "at most", 100), 1)
        idle = Measure(f"{what}: p50", "ms", "p50", "p50", Goal("figure", "at most", 5), 1)
        memory = Measure(
            f"{what}: memory of each, idle", "KB", "kb", "kb", Goal("figure", "at most", 25), 1
        )
        latency = (p50, p99) if clients > 1 else (idle,)
        chosen = (per_cpu, share, *latency, *((memory,) if many else ()))
        table += lines(chosen, ours, theirs, name)
    return table


def _sides(
    started: Engines, client: redis.Redis
) -> dict[str, Callable[[], AbstractContextManager[Side]]]:
    found: dict[str, Callable[[], AbstractContextManager[Side]]] = {
        "Triton": lambda: sides.triton(started, client),
        "floor": lambda: sides.peer(started, client, "floor", "floor"),
        "sse-starlette, a Redis read each": lambda: sides.peer(started, client, "naive", "naive"),
        "fastapi.sse": lambda: sides.peer(started, client, "fastapi", "fastapi.sse"),
    }
    if sides.has_nchan():
        found["nginx with nchan"] = lambda: sides.nchan(started)
    return found


def _delivered(side: Side, clients: int, rate: int, seconds: float) -> Sample:
    before = pss_kb(side.pid)
    with Clients(side, clients) as load:
        load.ask("open")
        side.publish()
        time.sleep(0.5)
        kb = (pss_kb(side.pid) - before) / clients
        load.ask("mark")
        begin = cpu_seconds(side.pid)
        with Foreign() as foreign:
            published = _paced(side, rate, seconds)
            found = _settled(load, published * clients)
        used = cpu_seconds(side.pid) - begin
    return {
        "per_cpu": found["events"] / max(used, 0.01),
        "share": found["events"] / (published * clients),
        "p50": found["p50"],
        "p99": found["p99"],
        "kb": kb,
        "foreign:": foreign.cores,
    }


def _paced(side: Side, rate: int, seconds: float) -> int:
    begin = time.monotonic()
    count = 0
    while (now := time.monotonic()) - begin < seconds:
        due = begin + count / rate
        if due > now:
            time.sleep(due - now)
        side.publish()
        count += 1
    return count


def _settled(load: Clients, expected: int) -> dict[str, float]:
    """The report once everything has arrived, or nothing more comes."""
    deadline = time.monotonic() + _DRAIN
    found = load.ask("report")
    while found["events"] < expected and time.monotonic() < deadline:
        time.sleep(0.1)
        found = load.ask("report")
    return found


def _alone(started: Engines, client: redis.Redis, scale: Scale) -> list[str]:
    """What only Triton does, and what it does to the log's writer."""
    found: dict[str, float] = {}
    with sides.triton(started, client) as side:
        found |= _writing(started, side, scale)
        found |= _storm(side, scale)
        found |= _resume(side, client, scale)
    naive: dict[str, float] = {}
    with sides.peer(started, client, "naive", "naive") as other:
        naive |= _writing(started, other, scale)
    clients = f"{scale.live_clients:,}"
    return [
        *lines(
            (
                Measure(
                    f"writes, one after the other, beside {clients} clients that follow them",
                    "of those beside none",
                    "kept",
                    "kept",
                    Goal("figure", "at least", 0.95),
                    2,
                ),
            ),
            [found],
            [naive],
            "sse-starlette, a Redis read each:",
        ),
        *lines(
            (
                Measure(
                    f"{scale.live_storm:,} clients come back at once: all live again",
                    "s",
                    "storm",
                    goal=Goal("figure", "at most", 10),
                    digits=1,
                ),
                Measure(
                    f"resume from {scale.live_past:,} positions back: first event",
                    "ms",
                    "first",
                    goal=Goal("figure", "at most", 50),
                    digits=1,
                ),
                Measure(
                    "the same: rate",
                    "events/s",
                    "resumed",
                    goal=Goal("figure", "at least", 50_000),
                ),
            ),
            [found],
            [],
        ),
    ]


def _writing(started: Engines, side: Side, scale: Scale) -> dict[str, float]:
    """Sequential writes beside clients that get each of them, against the same beside none, before and after;
    the median of several turns.

    The clients have the API's core here, and the writer and Valkey the other: what clients do with events is
    not done on the log's machine.
    """

    def rate() -> float:
        begin, count = time.monotonic(), 0
        while time.monotonic() - begin < scale.live_seconds / 4:
            side.publish()
            count += 1
        return count / (time.monotonic() - begin)

    pids = (os.getpid(), started.supervisor.children["valkey"].pid)
    usual = [os.sched_getaffinity(pid) for pid in pids]
    for pid in pids:
        sides.pin(pid)
    try:
        kept, before = [], rate()
        for _ in range(_WRITING_TURNS):
            with Clients(side, scale.live_clients, core=sides.SERVER_CORE) as load:
                load.ask("open")
                beside = rate()
            time.sleep(1.0)  # the last of it is delivered to nobody
            after = rate()
            kept.append(2 * beside / (before + after))
            before = after
        return {"kept": statistics.median(kept)}
    finally:
        for pid, cores in zip(pids, usual, strict=True):
            os.sched_setaffinity(pid, cores)


def _storm(side: Triton, scale: Scale) -> dict[str, float]:
    """All come back with a cursor, some events behind."""
    with Clients(side, 1) as one:
        one.ask("open")
    cursor = _cursor(side, side.path)
    for _ in range(10):
        side.publish()
    with Clients(side, scale.live_storm, header=f"Last-Event-ID: {cursor}") as load:
        return {"storm": load.ask("storm")["seconds"]}


def _resume(side: Triton, client: redis.Redis, scale: Scale) -> dict[str, float]:
    """One client of a queue comes back with a cursor from before all of it. Publishing that takes most of
    this cell's time."""
    past = sides.Log(client, queue="past")
    path = "/api/v1/events/subscribe?queue=past"
    header = f"Last-Event-ID: {_cursor(side, path)}"
    for _ in range(scale.live_past // 200):
        past.publish(200)
    with Clients(side, 1, path=path, header=header) as load:
        begin = time.monotonic()
        load.ask("open")
        found = load.ask("report")
        while found["events"] < scale.live_past and time.monotonic() - begin < 120:
            time.sleep(0.01 if not found["events"] else 0.2)
            found = load.ask("report")
        return {
            "first": found.get("first_ms", -1),
            "resumed": found["events"] / found["seconds"],
        }


def _cursor(side: Triton, path: str) -> str:
    """Where a stream is now."""
    connection = http.client.HTTPConnection("127.0.0.1", side.port)
    connection.request("GET", path, headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    while not (line := answer.readline()).startswith(b"event: triton.caught-up"):
        assert line
    while not line.startswith(b"id:"):
        line = answer.readline()
    connection.close()
    return line[3:].strip().decode()


def pss_kb(pid: int) -> int:
    """Memory that is the process's own share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
