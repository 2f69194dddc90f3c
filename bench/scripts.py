"""Owns what the scripts alone cost the server: no-op jobs through submit, claim and finish by one client."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

import redis

from bench.accounting import server_counters
from bench.scale import Scale
from bench.servers import Server, valkey
from bench.table import Measure, Sample, lines
from triton import keys
from triton.events.client import send
from triton.events.codec import encode_data
from triton.events.replies import claimed
from triton.events.scripts import Call, Scripts, pack_outcome
from triton.events.submission import Submission
from triton.events.types import Completed, Submitted

#: Jobs of one worker's trip under load, as `python -m bench --only jobs` shows it.
TRIP = 4
BULK = 200
BODY = (
    b'{"queue_name":"default","actor_name":"noop","args":["' + b"x" * 100 + b'"],"kwargs":{},'
    b'"options":{},"message_id":"01234567-89ab-cdef-0123-456789abcdef","message_timestamp":1790000000000}'
)
QUEUE = "default"
PREFIX = keys.prefix("triton", 0)

MEASURES = (
    Measure("server CPU of a submit, one by one", "µs/job", "submit", digits=1),
    Measure("server CPU of a submit, 200 at a time", "µs/job", "bulk", digits=1),
    Measure("server CPU of a claim, 4 at a time", "µs/job", "claim", digits=1),
    Measure("server CPU of a finish, 4 at a time", "µs/job", "finish", digits=1),
    Measure("Redis memory per pending job, 100 bytes of arguments", "bytes", "pending"),
    Measure("of it the log", "bytes", "log"),
    Measure("Redis memory per finished job", "bytes", "finished"),
)


class Answering(Protocol):
    """A server as the scripts are sent to it."""

    @property
    def client(self) -> redis.Redis: ...


def run(scale: Scale) -> list[str]:
    return lines(MEASURES, [turn(scale.jobs) for _ in range(scale.repeats)], [])


def turn(jobs: int) -> Sample:
    """Figures per job: microseconds of the server's CPU, bytes of its memory."""
    scripts = Scripts()
    with valkey() as server:
        send(server.client, [scripts.open(PREFIX, "e", 1)])
        send(server.client, [scripts.submit(PREFIX, submissions(1))])
        claim(server, scripts, 1)
        empty = server_counters(server.client).memory
        log = server.client.memory_usage(PREFIX + "log", samples=0) or 0
        bulk = _cost(server, jobs, _submits(scripts, jobs, BULK))
        filled = server_counters(server.client).memory
        grown = server.client.memory_usage(PREFIX + "log", samples=0) or 0
        given: list[list[tuple[str, int]]] = []
        claimed_at = _cost_of(server, jobs, lambda: _drain(server, scripts, jobs, given))
        finished = _cost(server, jobs, (finish(scripts, each) for each in given))
        ended = server_counters(server.client).memory
        submit = _cost(server, jobs, _submits(scripts, jobs, 1))
    return {
        "submit": submit,
        "bulk": bulk,
        "claim": claimed_at,
        "finish": finished,
        "pending": (filled - empty) / jobs,
        "log": (grown - log) / jobs,
        "finished": (ended - empty) / jobs,
    }


def submissions(count: int, *, delay: int = 0) -> list[Submission]:
    return [_submission(delay) for _ in range(count)]


def _submission(delay: int) -> Submission:
    job = str(uuid.uuid4())
    data = encode_data(Submitted(actor="noop", body=BODY))
    return Submission(
        job=job,
        queue=QUEUE,
        actor="noop",
        tenant="default",
        by="system",
        delay=delay,
        data=data,
        body=BODY,
    )


def _submits(scripts: Scripts, jobs: int, batch: int) -> Iterator[Call]:
    return (scripts.submit(PREFIX, submissions(batch)) for _ in range(jobs // batch))


def claim(server: Answering, scripts: Scripts, limit: int) -> list[tuple[str, int]]:
    call = scripts.claim(
        PREFIX,
        worker="w" * 20,
        op=str(uuid.uuid4()),
        queues=[QUEUE],
        limit=limit,
        lease_ms=600_000,
        max_deaths=3,
    )
    return [(job.job, job.attempt) for job in claimed(send(server.client, [call])[0]).jobs]


def _drain(server: Server, scripts: Scripts, jobs: int, given: list[list[tuple[str, int]]]) -> None:
    for _ in range(jobs // TRIP):
        given.append(claim(server, scripts, TRIP))


def finish(scripts: Scripts, held: list[tuple[str, int]]) -> Call:
    by, data = "worker:" + "w" * 20, Completed()
    return scripts.finish(PREFIX, [pack_outcome(job, attempt, by, data) for job, attempt in held])


def _cost(server: Server, jobs: int, calls: Iterator[Call]) -> float:
    def send_all() -> None:
        for call in calls:
            send(server.client, [call])

    return _cost_of(server, jobs, send_all)


def _cost_of(server: Server, jobs: int, work: Callable[[], None]) -> float:
    """Microseconds of the server's CPU for each job."""
    begin = server_counters(server.client).main_cpu
    work()
    return (server_counters(server.client).main_cpu - begin) / jobs * 1e6
