"""Owns what a claim costs beside very many pending and delayed jobs, compared with a system that has few."""

from __future__ import annotations

import statistics
from typing import cast

import redis

from bench.scale import Scale
from bench.scripts import BULK, PREFIX, TRIP, Answering, claim, finish, submissions
from bench.servers import Server, valkey
from bench.table import Goal, Measure, Sample, lines
from triton.events.client import send
from triton.events.scripts import Scripts

#: Jobs submitted, claimed and finished in one slice, and slices of one turn of a side.
SLICE, SLICES = 400, 40
#: Microseconds from now at which the delayed jobs become ready: never, as the bench sees it.
FAR = 10**13

MEASURES = (
    Measure(
        "server time of a claim beside the backlog",
        "µs/job",
        "claim",
        "claim",
        Goal("ratio", "at most", 1.5),
        1,
    ),
    Measure("server time of a finish beside the backlog", "µs/job", "finish", "finish", digits=1),
    Measure("server time of a submit beside the backlog", "µs/job", "submit", "submit", digits=1),
    Measure("Redis memory per job of the backlog", "bytes", "memory"),
)


def run(scale: Scale) -> list[str]:
    """Both servers live at once and take turns slice by slice: what else the machine does meets both."""
    scripts = Scripts()
    with valkey() as full, valkey() as empty:
        sides = (full, empty)
        for server in sides:
            # No fork in between: every page that is written first after one costs a fault.
            server.client.config_set("auto-aof-rewrite-percentage", 0)
            send(server.client, [scripts.open(PREFIX, "e", 1)])
        begin = _memory(full)
        fill(full, scripts, scale.backlog)
        sample = {"memory": (_memory(full) - begin) / (2 * scale.backlog)}
        turns: tuple[list[Sample], list[Sample]] = ([], [])
        for _ in range(SLICES):
            for server, samples in zip(sides, turns, strict=True):
                samples.append(slice_of(server, scripts))
    title = f"{scale.backlog:,} pending and {scale.backlog:,} delayed jobs"
    ours, theirs = (
        [{key: statistics.median(each[key] for each in samples) for key in samples[0]}]
        for samples in turns
    )
    named = [_named(each, title) for each in MEASURES]
    return lines(named, [{**ours[0], **sample}], theirs, "no backlog")


def fill(server: Answering, scripts: Scripts, count: int) -> None:
    """As many pending jobs as delayed ones, a chunk at a time."""
    for begin in range(0, count, BULK):
        chunk = min(BULK, count - begin)
        send(
            server.client,
            [
                scripts.submit(PREFIX, submissions(chunk)),
                scripts.submit(PREFIX, submissions(chunk, delay=FAR)),
            ],
        )


def slice_of(server: Server, scripts: Scripts) -> Sample:
    """Microseconds of the server for each job, as it counts the time of script calls itself."""
    call = scripts.submit(PREFIX, submissions(SLICE // 2))
    again = scripts.submit(PREFIX, submissions(SLICE // 2))
    figures: dict[str, float] = {}
    server.client.config_resetstat()
    send(server.client, [call, again])
    figures["submit"] = _script_time(server.client)
    given = [claim(server, scripts, TRIP) for _ in range(SLICE // TRIP)]
    figures["claim"] = _script_time(server.client)
    for held in given:
        send(server.client, [finish(scripts, held)])
    figures["finish"] = _script_time(server.client)
    return figures


def _script_time(client: redis.Redis) -> float:
    """Microseconds for each job of a slice since this was asked before."""
    found = cast("dict[str, dict[str, float]]", client.info("commandstats"))
    client.config_resetstat()
    return found["cmdstat_evalsha"]["usec"] / SLICE


def _memory(server: Server) -> int:
    return int(cast("dict[str, int]", server.client.info("memory"))["used_memory_dataset"])


def _named(measure: Measure, title: str) -> Measure:
    what = measure.what.replace("the backlog", title)
    return Measure(what, measure.unit, measure.key, measure.beside, measure.goal, measure.digits)
