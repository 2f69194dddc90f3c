"""Owns the comparison with Dramatiq's RedisBroker: the same no-op actor, Valkey and command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import msgspec

from bench.accounting import Foreign, cpu_seconds, server_counters
from bench.apps.produce import Produced
from bench.apps.record import FILE, URL, Record
from bench.scale import Scale
from bench.servers import Server, environment, valkey
from bench.table import Goal, Measure, Sample, lines, percentile

TRITON = "bench.apps.triton_app"
REDIS = "bench.apps.redis_app"
PROCESSES, THREADS = 2, 8
#: Seconds within which a drain must end.
PATIENCE = 300.0

MEASURES = (
    Measure("no-op drain", "jobs/s", "drain", "drain", Goal("ratio", "at least", 1), 0, "drain"),
    Measure("enqueue, one by one", "jobs/s", "single", "single", None, 0, "single"),
    Measure(
        "bulk enqueue (enqueue_many)",
        "jobs/s",
        "bulk",
        None,
        Goal("figure", "at least", 14_000),
        0,
        "bulk",
    ),
    Measure(
        "start latency, idle, p50",
        "ms",
        "idle_p50",
        "idle_p50",
        Goal("figure", "at most", 5),
        1,
        "idle",
    ),
    Measure("start latency, idle, p99", "ms", "idle_p99", "idle_p99", None, 1, "idle"),
    Measure(
        "start latency, 100 jobs/s, p50",
        "ms",
        "p50",
        "p50",
        Goal("figure", "at most", 2),
        1,
        "paced",
    ),
    Measure(
        "start latency, 100 jobs/s, p99",
        "ms",
        "p99",
        "p99",
        Goal("figure", "at most", 10),
        1,
        "paced",
    ),
    Measure(
        "round trips per job under load, submit included",
        "trips",
        "trips",
        "trips",
        Goal("figure", "at most", 2.2),
        2,
        "drain",
    ),
    Measure("round trips per job at 100 jobs/s", "trips", "paced_trips", "paced_trips", None, 2),
    Measure(
        "CPU of all processes, submit and drain",
        "s/1,000 jobs",
        "cpu",
        "cpu",
        Goal("ratio", "at most", 1),
        2,
        "drain",
    ),
    Measure("of it the server's", "s/1,000 jobs", "server_cpu", "server_cpu", None, 3, "drain"),
    Measure(
        "CPU of all processes at 100 jobs/s",
        "s/1,000 jobs",
        "paced_cpu",
        "paced_cpu",
        None,
        2,
        "paced",
    ),
    Measure("Redis memory per pending job", "bytes", "pending_bytes", "pending_bytes"),
    Measure("Redis memory per finished job", "bytes", "finished_bytes", "finished_bytes"),
    Measure("of it the log", "bytes", "log_bytes"),
)


def run(scale: Scale) -> list[str]:
    """Fresh servers for every turn; the sides take turns, and who begins changes."""
    samples: dict[str, list[Sample]] = {TRITON: [], REDIS: []}
    for repeat in range(scale.repeats):
        for app in (TRITON, REDIS) if repeat % 2 == 0 else (REDIS, TRITON):
            samples[app].append(turn(app, scale))
    return lines(MEASURES, samples[TRITON], samples[REDIS], "RedisBroker")


def turn(app: str, scale: Scale) -> Sample:
    """All phases of one side on a server of its own."""
    figures: dict[str, float] = {}
    with valkey() as server:
        record = Record(server.folder / "record")
        empty = server_counters(server.client)
        before = cpu_seconds(server.pid)
        with Foreign() as foreign:
            sent = produce(server, record, app, "single", scale.jobs)
        filled = server_counters(server.client)
        figures["foreign:single"] = foreign.cores
        figures["single"] = sent.jobs / sent.wall
        figures["pending_bytes"] = (filled.memory - empty.memory) / scale.jobs
        submit_cpu = (sent.cpu + cpu_seconds(server.pid) - before) / scale.jobs
        submit_trips = (filled.reads - empty.reads) / scale.jobs
        submit_server = (filled.cpu - empty.cpu) / scale.jobs
        total = scale.jobs
        if app == TRITON:
            with Foreign() as foreign:
                sent = produce(server, record, app, "bulk", scale.jobs)
            figures["foreign:bulk"] = foreign.cores
            figures["bulk"] = sent.jobs / sent.wall
            total += scale.jobs
        workers = start_workers(server, record, app)
        drained = drain(server, workers, record, total)
        figures.update(drained)
        figures["trips"] = submit_trips + drained["drain_trips"]
        figures["cpu"] = (submit_cpu + drained["drain_cpu"]) * 1000
        figures["server_cpu"] = (submit_server + drained["drain_server_cpu"]) * 1000
        time.sleep(1.0)  # the last outcomes are on their way
        left = server_counters(server.client)
        figures["finished_bytes"] = (left.memory - empty.memory) / total
        if app == TRITON:
            log = server.client.memory_usage("{triton:0}:log", samples=0) or 0
            figures["log_bytes"] = log / total
        figures.update(paced(server, workers, record, app, scale))
        figures.update(idle(server, record, app, scale))
        server.end("workers")
    return figures


def produce(server: Server, record: Record, app: str, mode: str, count: int) -> Produced:
    """Jobs from a process of their own; one more is sent to warm up and counted nowhere."""
    done = subprocess.run(
        (sys.executable, "-m", "bench.apps.produce", app, mode, str(count)),
        env=_app_environment(server, record),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Produced)


def start_workers(server: Server, record: Record, app: str) -> int:
    """The stock command line; answers its pid."""
    size = ("--processes", str(PROCESSES), "--threads", str(THREADS))
    env = _app_environment(server, record)
    return server.spawn("workers", "-m", "dramatiq", app, *size, env=env).pid


def _app_environment(server: Server, record: Record) -> dict[str, str]:
    return environment({URL: server.url, FILE: str(record.path)})


def drain(server: Server, workers: int, record: Record, total: int) -> dict[str, float]:
    """Measured from the first tenth to the last job, so that the workers' start does not count."""
    record.wait(total // 10, timeout=60.0)
    with Foreign() as foreign:
        counted = server_counters(server.client)
        begin = (record.count(), cpu_seconds(workers, server.pid), time.monotonic())
        record.wait(total, timeout=PATIENCE)
        end = (record.count(), cpu_seconds(workers, server.pid), time.monotonic())
        recounted = server_counters(server.client)
    jobs, cpu, seconds = (after - before for before, after in zip(begin, end, strict=True))
    return {
        "foreign:drain": foreign.cores,
        "drain": jobs / seconds,
        "drain_cpu": cpu / jobs,
        "drain_trips": (recounted.reads - counted.reads) / jobs,
        "drain_server_cpu": (recounted.cpu - counted.cpu) / jobs,
    }


def paced(server: Server, workers: int, record: Record, app: str, scale: Scale) -> dict[str, float]:
    known = record.count()
    counted = server_counters(server.client)
    cpu = cpu_seconds(workers, server.pid)
    with Foreign() as foreign:
        sent = produce(server, record, app, "paced", 100 * scale.paced_seconds)
        record.wait(known + sent.jobs, timeout=30.0)
    latencies = record.latencies(known)
    used = cpu_seconds(workers, server.pid) - cpu + sent.cpu
    return {
        "foreign:paced": foreign.cores,
        "p50": statistics.median(latencies),
        "p99": percentile(latencies, 99),
        "paced_trips": (server_counters(server.client).reads - counted.reads) / sent.jobs,
        "paced_cpu": used / sent.jobs * 1000,
    }


def idle(server: Server, record: Record, app: str, scale: Scale) -> dict[str, float]:
    known = record.count()
    with Foreign() as foreign:
        sent = produce(server, record, app, "idle", scale.idle_jobs)
        record.wait(known + sent.jobs, timeout=30.0)
    latencies = record.latencies(known)
    return {
        "foreign:idle": foreign.cores,
        "idle_p50": statistics.median(latencies),
        "idle_p99": percentile(latencies, 99),
    }
