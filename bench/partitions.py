"""Owns what partitions cost and bring on one server: the same jobs over one, two and four of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.accounting import Foreign, server_counters
from bench.apps.record import Record
from bench.jobs import TRITON, drain, produce, start_workers
from bench.scale import Scale
from bench.servers import valkey
from bench.table import Measure, Sample, lines

_VARIABLE = "TRITON_PARTITIONS"


def run(scale: Scale) -> list[str]:
    """Each number of partitions has a fresh server in each turn; who begins changes."""
    samples: dict[int, list[Sample]] = {number: [] for number in scale.partitions}
    for repeat in range(scale.repeats):
        order = scale.partitions if repeat % 2 == 0 else tuple(reversed(scale.partitions))
        for number in order:
            samples[number].append(_turn(scale, number))
    first, *others = scale.partitions
    found = lines(_measures(first, beside=False), samples[first], [])
    for number in others:
        found += lines(_measures(number), samples[number], samples[first], f"{first} partition")
    return found


def _measures(number: int, *, beside: bool = True) -> tuple[Measure, ...]:
    def one(what: str, unit: str, key: str, phase: str, digits: int = 0) -> Measure:
        name = f"{number} partition{'s' if number > 1 else ''}: {what}"
        return Measure(name, unit, key, key if beside else None, None, digits, phase)

    return (
        one("bulk enqueue", "jobs/s", "bulk", "bulk"),
        one("no-op drain", "jobs/s", "drain", "drain"),
        one("round trips per job of the drain", "trips", "trips", "drain", 2),
        one("CPU of the workers and the server in the drain", "µs/job", "cpu", "drain"),
        one("server CPU, submit and drain", "µs/job", "server", "drain"),
    )


def _turn(scale: Scale, number: int) -> Sample:
    with _partitions(number), valkey(tcp=scale.tcp) as server:
        record = Record(server.folder / "record")
        empty = server_counters(server.client)
        with Foreign() as submitting:
            sent = produce(server, record, TRITON, "bulk", scale.jobs)
        filled = server_counters(server.client)
        workers = start_workers(server, record, TRITON)
        drained = drain(server, workers, record, scale.jobs)
        server.end("workers")
    submit = (filled.cpu - empty.cpu) / scale.jobs
    return {
        "bulk": sent.jobs / sent.wall,
        "drain": drained["drain"],
        "trips": drained["trips"],
        "cpu": drained["cpu"] * 1e6,
        "server": (submit + drained["server_cpu"]) * 1e6,
        "foreign:bulk": submitting.cores,
        "foreign:drain": drained["foreign:drain"],
    }


@contextmanager
def _partitions(number: int) -> Iterator[None]:
    """The processes that are started meanwhile have a log of so many."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(number)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
