"""Owns the process whose instructions are counted: `python -m bench.apps.counted APP send|work COUNT`.

Says `ready`, waits for a line, sends or runs COUNT no-op jobs, says `done`, and waits for another line. Its
worker is Dramatiq's own, with eight threads.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import dramatiq

from triton.broker import dispatcher, gather

THREADS = 8
#: Jobs before those that count.
WARM = 80
#: Under valgrind all Python is fifty times slower, and a trip waits as much longer for what ends with it.
SLOWER = 50


def main(app_name: str, way: str, count: int) -> None:
    app = importlib.import_module(app_name)
    ways: dict[str, Callable[[Any, int], None]] = {"send": _send, "work": _work}
    ways[way](app, count)
    os._exit(0)


def _send(app: Any, count: int) -> None:
    _sent(app, WARM)
    _wait("ready")
    _sent(app, count)
    _wait("done")


def _work(app: Any, count: int) -> None:
    setattr(dispatcher, "LONGEST", gather.LONGEST * SLOWER)  # noqa: B010
    _sent(app, WARM + count)
    gate, ended = threading.Event(), threading.Event()
    begun: list[None] = []
    record = app.job.fn

    def gated(sent: float) -> None:
        begun.append(None)
        if len(begun) > WARM:
            gate.wait()
        record(sent)
        if len(begun) == WARM + count:
            ended.set()

    app.job.fn = gated
    dramatiq.Worker(app.broker, worker_threads=THREADS).start()
    while len(begun) < WARM + THREADS:
        time.sleep(0.1)
    _wait("ready")
    gate.set()
    ended.wait()
    _wait("done")


def _sent(app: Any, count: int) -> None:
    for _ in range(count):
        app.job.send(time.monotonic())


def _wait(word: str) -> None:
    print(word, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
