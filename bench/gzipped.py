"""Owns the cost of compressed streams: one tick's events for many clients, compressed once for all of them.

Beside it stands a compressor for each client, which is what a web server in front would do. Both are measured
in CPU time of the compression alone, on the events of a job that streams its output; no socket is written.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from bench.scale import Scale
from bench.table import Measure, Sample, lines
from triton.events.render import one_line
from triton.feed import frames
from triton.feed.gzipped import LEVEL, Blocks

#: Clients who follow the same, and events of one tick.
CLIENTS: Final = 500
TICKS: Final = (1, 5, 20, 100)
#: Events of one turn.
EVENTS: Final = 400
WORDS: Final = (
    "the",
    "job",
    "of",
    "a",
    "patient",
    "was",
    "read",
    "from",
    "its",
    "page",
    "and",
    "claim",
)


def run(scale: Scale) -> list[str]:
    found: list[str] = []
    for events in TICKS:
        ours = [_turn(events, _shared) for _ in range(scale.repeats)]
        theirs = [_turn(events, _own) for _ in range(scale.repeats)]
        name = f"{events} event{'s' if events > 1 else ''} a tick"
        measures = (
            Measure(f"gzip for {CLIENTS} clients, {name}", "ms/100,000 delivered", "cpu", "cpu"),
            Measure(f"bytes sent for one of plain text, {name}", "", "share", "share", digits=2),
        )
        found += lines(measures, ours, theirs, "a compressor each")
    return found


def _turn(events: int, compress: Callable[[list[bytes]], tuple[int, int]]) -> Sample:
    pieces = list(_pieces(events))
    begin = time.process_time()
    clients, size = compress(pieces)
    cpu = time.process_time() - begin
    delivered = len(pieces) * events * clients
    return {
        "cpu": cpu * 1000 * 100_000 / delivered,
        "share": size / (sum(map(len, pieces)) * clients),
    }


def _pieces(events: int) -> Iterator[bytes]:
    """Ticks of a job's output, as its subscribers are written them."""
    chance = random.Random(1)
    job = "".join(chance.choices("0123456789abcdef", k=32))
    version = 0
    for _ in range(max(EVENTS // events, 4)):
        written = b""
        for _ in range(events):
            version += 1
            said = " ".join(chance.choices(WORDS, k=8))
            written += frames.event(
                one_line(
                    {
                        "specversion": "1.0",
                        "id": f"{job}/{version}",
                        "source": "/triton/triton",
                        "type": "job.output",
                        "subject": job,
                        "time": f"2026-11-21T14:03:{version % 60:02}.{chance.randrange(10**6):06}Z",
                        "partition": 0,
                        "position": 10_000 + version * 3,
                        "version": version,
                        "attempt": 1,
                        "by": "worker:host-1-4711",
                        "tenant": "default",
                        "queue": "default",
                        "causation": "",
                        "correlation": job,
                        "traceparent": "",
                        "data": {"chunk": said},
                    }
                ),
                "AQ" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=24)),
            )
        yield written


def _shared(pieces: list[bytes]) -> tuple[int, int]:
    blocks = Blocks()
    checks = [0] * CLIENTS
    size = 0
    for piece in pieces:
        # Each client joins its own bytes, so each asks with its own object.
        for client in range(CLIENTS):
            own = bytes(bytearray(piece))
            checks[client] = zlib.crc32(own, checks[client])
            size += len(blocks.of(own))
    return CLIENTS, size


def _own(pieces: list[bytes]) -> tuple[int, int]:
    # Each holds a quarter of a megabyte; a few stand for all.
    some = 20
    compressors = [zlib.compressobj(LEVEL, zlib.DEFLATED, 31) for _ in range(some)]
    size = 0
    for piece in pieces:
        for each in compressors:
            size += len(each.compress(piece)) + len(each.flush(zlib.Z_SYNC_FLUSH))
    return some, size
