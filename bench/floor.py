"""Owns the comparison with the floor: bare XADD of the entries that audited jobs wrote, in equal batches."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import msgspec

from bench.accounting import Foreign, server_counters
from bench.apps.produce import BULK, Produced
from bench.apps.record import Record
from bench.jobs import LOG, PROCESSES, TRITON, drain, produce, start_workers
from bench.scale import Scale
from bench.servers import Server, environment, valkey
from bench.table import Measure, Sample, lines

MEASURES = (
    Measure("bulk enqueue: audited jobs", "jobs/s", "submit", "submit", phase="submit"),
    Measure("drain: audited jobs", "jobs/s", "run", "run", phase="run"),
    Measure("server CPU, submit and drain", "µs/job", "server", "server", phase="run"),
)


def run(scale: Scale) -> list[str]:
    ours: list[Sample] = []
    floor: list[Sample] = []
    for _ in range(scale.repeats):
        # Triton first in every turn: what is appended below is what it wrote.
        sample, submitted, run_, batch = audited(scale)
        ours.append(sample)
        floor.append(bare(submitted, run_, batch, scale))
    return lines(MEASURES, ours, floor, "bare XADD")


def audited(scale: Scale) -> tuple[Sample, list[list[bytes]], list[list[bytes]], int]:
    """Triton's figures; its entries of submits and of runs; the entries of one round trip of a worker."""
    with valkey(tcp=scale.tcp) as server:
        record = Record(server.folder / "record")
        empty = server_counters(server.client)
        with Foreign() as submitting:
            sent = produce(server, record, TRITON, "bulk", scale.jobs)
        filled = server_counters(server.client)
        workers = start_workers(server, record, TRITON)
        drained = drain(server, workers, record, scale.jobs)
        server.end("workers")
        raw = cast("list[tuple[bytes, list[bytes]]]", server.client.xrange(LOG))
    submitted: list[list[bytes]] = []
    run_: list[list[bytes]] = []
    for _, fields in raw:
        (submitted if fields[1] == b"job.submitted" else run_).append(fields)
    submit_cpu = (filled.cpu - empty.cpu) / scale.jobs
    sample = {
        "submit": sent.jobs / sent.wall,
        "run": drained["drain"],
        "server": (submit_cpu + drained["server_cpu"]) * 1e6,
        "foreign:submit": submitting.cores,
        "foreign:run": drained["foreign:drain"],
    }
    return sample, submitted, run_, max(1, round(2 / drained["trips"]))


def bare(submitted: list[list[bytes]], run_: list[list[bytes]], batch: int, scale: Scale) -> Sample:
    """One process appends what submits wrote; as many as there were workers, what runs wrote."""
    with valkey(tcp=scale.tcp) as server:
        empty = server_counters(server.client)
        with Foreign() as submitting:
            submit = append(server, [submitted], BULK)
        with Foreign() as running:
            run_rate = append(server, [run_[i::PROCESSES] for i in range(PROCESSES)], batch)
        cpu = server_counters(server.client).cpu - empty.cpu
    return {
        "submit": scale.jobs / submit,
        "run": scale.jobs / run_rate,
        "server": cpu / scale.jobs * 1e6,
        "foreign:submit": submitting.cores,
        "foreign:run": running.cores,
    }


def append(server: Server, shares: list[list[list[bytes]]], batch: int) -> float:
    """Seconds until every process has appended its share."""
    writers = []
    for number, share in enumerate(shares):
        file = server.folder / f"share-{number}"
        file.write_bytes(msgspec.msgpack.encode(share))
        writers.append(_writer(server.url, file, batch))
    for writer in writers:
        assert writer.stdout is not None
        if writer.stdout.readline() != b"ready\n":
            raise RuntimeError("a process that appends ended before it began")
    begin = time.monotonic()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        msgspec.json.decode(out, type=Produced)  # raises if it failed
    return time.monotonic() - begin


def _writer(url: str, file: Path, batch: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        (sys.executable, "-m", "bench.apps.append", url, str(file), str(batch)),
        env=environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
