"""Owns the comparison of an entry of thirteen fields with one of a single packed field."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import history
from bench.accounting import server_counters
from bench.scale import Scale
from bench.servers import valkey
from bench.table import Measure, Sample, lines
from triton import keys
from triton.events.entries import Page, Raw, page_of
from triton.events.envelope import FIELDS

NAMESPACE: Final = "bench"
LOG: Final = "log"
#: Entries of one call that appends, and of one that reads.
APPENDED: Final = 20
READ: Final = 500
MEASURES: Final = (
    Measure(
        "append, a script that does nothing else: server CPU",
        "µs/event",
        "append",
        "append",
        digits=1,
    ),
    Measure("XRANGE, 500 at a time: server CPU", "µs/event", "serve", "serve", digits=1),
    Measure("replies parsed and checked as pages: CPU", "µs/event", "read", "read", digits=1),
    Measure("Redis memory", "bytes/event", "memory", "memory"),
)
_decode: Final = msgspec.msgpack.Decoder(list[tuple[(bytes,) * len(FIELDS)]]).decode  # type: ignore[misc]


def run(scale: Scale) -> list[str]:
    with valkey() as server:
        events = history.write(server.client, NAMESPACE, scale.events)
        raw: Any = server.client.xrange(keys.log(keys.prefix(NAMESPACE, 0)))
        values = [fields[1::2] for _, fields in raw]
    ours: list[Sample] = []
    packed: list[Sample] = []
    for turn in range(scale.repeats):
        sides = [("fields", page_of, ours), ("packed", page_of_packed, packed)]
        for name, read, samples in sides[:: 1 if turn % 2 else -1]:
            samples.append(measured(name, read, values, events))
    return lines(MEASURES, ours, packed, "one packed field")


def measured(
    name: str, read: Callable[[int, int, Raw], Page], values: Sequence[Sequence[bytes]], events: int
) -> Sample:
    """Figures per event of one way, on a fresh server."""
    with valkey() as server:
        client = server.client
        script = client.register_script((Path(__file__).parent / f"{name}.lua").read_text())
        empty = server_counters(client)
        for first in range(0, events, APPENDED):
            some = values[first : first + APPENDED]
            script(keys=[LOG], args=[first, *(value for each in some for value in each)])
        filled = server_counters(client)
        memory = int(client.memory_usage(LOG, samples=0) or 0)
        reading = 0.0
        for after in range(0, events, READ):
            begin = time.thread_time()
            page = read(
                0, after, client.execute_command("XRANGE", LOG, f"({after}-0", "+", "COUNT", READ)
            )
            reading += time.thread_time() - begin
            assert page.size == min(READ, events - after)
        served = server_counters(client)
    return {
        "append": (filled.cpu - empty.cpu) / events * 1e6,
        "serve": (served.cpu - filled.cpu) / events * 1e6,
        "read": reading / events * 1e6,
        "memory": memory / events,
    }


def page_of_packed(partition: int, after: int, raw: Raw) -> Page:
    """A page of entries that have one field."""
    array = b"\xdd" + len(raw).to_bytes(4, "big")
    each = b"\x9d"
    found = _decode(array + each + each.join([fields[1] for _, fields in raw]))
    return Page(partition, range(after + 1, after + 1 + len(raw)), list(zip(*found, strict=True)))
