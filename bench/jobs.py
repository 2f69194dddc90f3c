"""Owns the comparison with Dramatiq's RedisBroker: the same no-op actor, Valkey and command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

import msgspec

from bench.accounting import Foreign, cpu_seconds, server_counters
from bench.apps.produce import RATE, Produced
from bench.apps.record import FILE, URL, Record
from bench.scale import Scale
from bench.servers import Server, environment, valkey
from bench.table import Goal, Measure, Sample, lines, percentile

TRITON = "bench.apps.triton_app"
REDIS = "bench.apps.redis_app"
PROCESSES, THREADS = 2, 8
LOG = "{triton:0}:log"
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
    """Both sides live at once, each on a fresh server, and take turns phase by phase: what else the machine
    does meets both. Who begins changes with every repeat."""
    samples: dict[str, list[Sample]] = {TRITON: [], REDIS: []}
    for repeat in range(scale.repeats):
        with ExitStack() as stack:
            names = (TRITON, REDIS) if repeat % 2 == 0 else (REDIS, TRITON)
            sides = [Side(app, stack.enter_context(valkey(tcp=scale.tcp)), scale) for app in names]
            for phase in (Side.submit, Side.submit_many, Side.drain, Side.pace, Side.idle):
                for side in sides:
                    phase(side)
            for side in sides:
                side.server.end("workers")
                samples[side.app].append(side.figures)
    return lines(MEASURES, samples[TRITON], samples[REDIS], "RedisBroker")


class Side:
    """One broker on a server of its own; each phase adds its figures."""

    def __init__(self, app: str, server: Server, scale: Scale) -> None:
        self.app = app
        self.server = server
        self.figures: dict[str, float] = {}
        self._scale = scale
        self._record = Record(server.folder / "record")
        self._empty = server_counters(server.client)
        self._total = scale.jobs
        self._workers = 0

    def submit(self) -> None:
        jobs = self._scale.jobs
        sent = self._produce("single", jobs)
        filled = server_counters(self.server.client)
        server_cpu = (filled.cpu - self._empty.cpu) / jobs
        self.figures.update(
            {
                "single": jobs / sent.wall,
                "pending_bytes": (filled.memory - self._empty.memory) / jobs,
                "trips": (filled.reads - self._empty.reads) / jobs,
                "cpu": (sent.cpu / jobs + server_cpu) * 1000,
                "server_cpu": server_cpu * 1000,
            }
        )

    def submit_many(self) -> None:
        if self.app == TRITON:
            sent = self._produce("bulk", self._scale.jobs)
            self.figures["bulk"] = sent.jobs / sent.wall
            self._total += sent.jobs

    def drain(self) -> None:
        self._workers = start_workers(self.server, self._record, self.app)
        drained = drain(self.server, self._workers, self._record, self._total)
        self.figures["drain"] = drained["drain"]
        self.figures["foreign:drain"] = drained["foreign:drain"]
        self.figures["trips"] += drained["trips"]
        self.figures["cpu"] += drained["cpu"] * 1000
        self.figures["server_cpu"] += drained["server_cpu"] * 1000
        time.sleep(1.0)  # the last outcomes are on their way
        left = server_counters(self.server.client).memory - self._empty.memory
        self.figures["finished_bytes"] = left / self._total
        if self.app == TRITON:
            log = self.server.client.memory_usage(LOG, samples=0) or 0
            self.figures["log_bytes"] = log / self._total

    def pace(self) -> None:
        """100 jobs/s; the first second is not counted among the latencies: until then they were idle."""
        known = self._record.count()
        counted = server_counters(self.server.client)
        cpu = cpu_seconds(self._workers, self.server.pid)
        sent = self._produce("paced", RATE * (1 + self._scale.paced_seconds))
        self._record.wait(known + sent.jobs, timeout=30.0)
        latencies = self._record.latencies(known + RATE)
        cpu = cpu_seconds(self._workers, self.server.pid) - cpu + sent.cpu
        trips = server_counters(self.server.client).reads - counted.reads
        self.figures.update(
            {
                "p50": statistics.median(latencies),
                "p99": percentile(latencies, 99),
                "paced_trips": trips / sent.jobs,
                "paced_cpu": cpu / sent.jobs * 1000,
            }
        )

    def idle(self) -> None:
        known = self._record.count()
        sent = self._produce("idle", self._scale.idle_jobs)
        self._record.wait(known + sent.jobs, timeout=30.0)
        latencies = self._record.latencies(known)
        self.figures["idle_p50"] = statistics.median(latencies)
        self.figures["idle_p99"] = percentile(latencies, 99)

    def _produce(self, mode: str, count: int) -> Produced:
        with Foreign() as foreign:
            sent = produce(self.server, self._record, self.app, mode, count)
        self.figures[f"foreign:{mode}"] = foreign.cores
        return sent


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
    """Jobs per second, and trips and CPU seconds per job, from the first tenth to the last job: the workers'
    start does not count."""
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
        "cpu": cpu / jobs,
        "trips": (recounted.reads - counted.reads) / jobs,
        "server_cpu": (recounted.cpu - counted.cpu) / jobs,
    }
