"""Owns the comparison of both dispatch structures; docs/decisions/0001-dispatch.md says what follows."""

from __future__ import annotations

import statistics
import threading
import time

from bench.accounting import Foreign, server_counters
from bench.dispatch.variant import Name, Variant
from bench.scale import Scale
from bench.servers import Server, valkey
from bench.table import Measure, Sample, lines, percentile
from triton.events.client import connect

BATCHES = (1, 8, 64)
#: Jobs under a lease while everything is measured.
LEASED = 256
FILL = 200
LOOKS = 500


def run(scale: Scale) -> list[str]:
    samples: dict[Name, list[Sample]] = {"sets": [], "streams": []}
    names: tuple[Name, Name] = ("sets", "streams")
    for repeat in range(scale.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            samples[name].append(turn(name, scale))
    return lines(measures(scale), samples["sets"], samples["streams"], "stream and group")


def measures(scale: Scale) -> list[Measure]:
    """Triton's figures here are those of its structure's prototype, not of Triton itself."""
    found = []
    for pending in scale.pending:
        for operation in ("submit", "claim", "finish"):
            for batch in BATCHES:
                key = f"{operation}:{batch}:{pending}"
                what = f"dispatch by sorted sets: {operation}, batch {batch}, {pending:,} pending"
                found.append(Measure(what, "server µs/job", key, key, None, 1, str(pending)))
    return [
        *found,
        Measure(
            f"dispatch by sorted sets: look for dead workers, {LEASED} leases",
            "server µs",
            "look",
            "look",
            None,
            1,
        ),
        Measure("dispatch by sorted sets: memory per pending job", "bytes", "memory", "memory"),
        Measure(
            "dispatch by sorted sets: idle wake-up, submit to claimed, p50",
            "ms",
            "wake_p50",
            "wake_p50",
            None,
            2,
            "wake",
        ),
        Measure(
            "dispatch by sorted sets: idle wake-up, submit to claimed, p99",
            "ms",
            "wake_p99",
            "wake_p99",
            None,
            2,
            "wake",
        ),
    ]


def turn(name: Name, scale: Scale) -> Sample:
    """All figures of one structure, on a server of its own."""
    figures: dict[str, float] = {}
    with valkey() as server:
        variant = Variant(name, server.client)
        figures.update(wake(variant, server, scale.wakes))
        variant.submit(LEASED, FILL)
        variant.claim(LEASED, 64)
        begin = server_counters(server.client).main_cpu
        variant.look_for_dead(LOOKS)
        figures["look"] = (server_counters(server.client).main_cpu - begin) / LOOKS * 1e6
        waiting = 0
        for pending in scale.pending:
            empty = server_counters(server.client).memory
            variant.submit(pending - waiting, FILL)
            figures["memory"] = (server_counters(server.client).memory - empty) / (
                pending - waiting
            )
            waiting = pending
            with Foreign() as foreign:
                for batch in BATCHES:
                    figures.update(cell(variant, server, batch, pending, scale.dispatch_jobs))
            figures[f"foreign:{pending}"] = foreign.cores
    return figures


def cell(variant: Variant, server: Server, batch: int, pending: int, jobs: int) -> dict[str, float]:
    """The command thread's CPU for each operation on `jobs` jobs, with as many pending after it as before."""

    def cpu() -> float:
        return server_counters(server.client).main_cpu

    begin = cpu()
    variant.submit(jobs, batch)
    submitted = cpu()
    held = variant.claim(jobs, batch)
    claimed = cpu()
    variant.finish(held, batch)
    finished = cpu()
    assert len(held) == jobs, f"{len(held)} of {jobs} jobs were handed out"
    return {
        f"submit:{batch}:{pending}": (submitted - begin) / jobs * 1e6,
        f"claim:{batch}:{pending}": (claimed - submitted) / jobs * 1e6,
        f"finish:{batch}:{pending}": (finished - claimed) / jobs * 1e6,
    }


def wake(variant: Variant, server: Server, count: int) -> dict[str, float]:
    """Milliseconds from before the submit until an idle worker holds the job."""
    claimed: list[float] = []
    ready = threading.Event()
    arrived = threading.Event()

    def work() -> None:
        with connect(server.url) as client:
            client.ping()
            ready.set()
            while len(claimed) < count:
                if held := variant.wait_and_claim(client):
                    claimed.append(time.monotonic())
                    variant.finish(held, 1)
                    arrived.set()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    ready.wait()
    sent = []
    with Foreign() as foreign:
        for _ in range(count):
            time.sleep(0.01)  # the worker blocks again
            arrived.clear()
            sent.append(time.monotonic())
            variant.submit(1, 1)
            if not arrived.wait(timeout=10):
                raise TimeoutError("an idle worker did not wake up within 10 s")
    worker.join(timeout=10)
    latencies = [(b - a) * 1000 for a, b in zip(sent, claimed, strict=True)]
    return {
        "wake_p50": statistics.median(latencies),
        "wake_p99": percentile(latencies, 99),
        "foreign:wake": foreign.cores,
    }
