"""Owns the process that sends jobs: `python -m bench.apps.produce APP single|bulk|paced|idle COUNT`.

Prints one JSON object: jobs sent, wall seconds, its own CPU seconds.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

#: Jobs of one enqueue_many.
BULK = 1000
#: Jobs per second of `paced`.
RATE = 100
#: Seconds between two jobs of `idle`: longer than any poll interval's first steps, and never in time with it.
PAUSE = (0.2, 0.5)


class Produced(msgspec.Struct, frozen=True):
    jobs: int
    wall: float
    cpu: float


def single(app: Any, count: int) -> None:
    for _ in range(count):
        app.job.send(time.monotonic())


def bulk(app: Any, count: int) -> None:
    for start in range(0, count, BULK):
        now = time.monotonic()
        app.broker.enqueue_many([app.job.message(now) for _ in range(min(BULK, count - start))])


def paced(app: Any, count: int) -> None:
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
        app.job.send(time.monotonic())


def idle(app: Any, count: int) -> None:
    pauses = random.Random(1)
    for _ in range(count):
        time.sleep(pauses.uniform(*PAUSE))
        app.job.send(time.monotonic())


MODES: dict[str, Callable[[Any, int], None]] = {
    "single": single,
    "bulk": bulk,
    "paced": paced,
    "idle": idle,
}


def main(app_name: str, mode: str, count: int) -> None:
    app = importlib.import_module(app_name)
    app.job.send(0.0)  # connects and loads the scripts
    wall, cpu = time.monotonic(), time.process_time()
    MODES[mode](app, count)
    done = Produced(count, time.monotonic() - wall, time.process_time() - cpu)
    print(msgspec.json.encode(done).decode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
