"""Owns what the scripts cost the server in instructions, beside a large backlog and without one.

Instructions are what no other process of the machine can disturb: the server runs under valgrind's callgrind,
which must be installed. It is filled without that before, and loads what it had as a snapshot.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
from redis.exceptions import RedisError

from bench.backlog import fill
from bench.scale import Scale
from bench.scripts import PREFIX, TRIP, claim, finish, submissions
from bench.table import Goal, Measure, Sample, lines
from triton.events.client import connect, send
from triton.events.scripts import Call, Scripts
from triton.stack.valkey import _binary

#: Jobs of each measurement, and those that wait in any case.
JOBS, WAITING = 400, 200
#: Seconds within which a counting server has loaded its data.
PATIENCE = 900.0
TOOL = ("valgrind", "--tool=callgrind", "--instr-atstart=no")


def run(scale: Scale) -> list[str]:
    if shutil.which(TOOL[0]) is None:
        return ["valgrind is not installed: instructions were not counted."]
    title = f"beside {scale.backlog:,} pending and {scale.backlog:,} delayed jobs"
    goal = Goal("ratio", "at most", 1.5)
    ways = {"claim": goal, "finish": None, "submit": None}
    measures = [
        Measure(f"server instructions of a {way} {title}", "per job", way, way, wanted)
        for way, wanted in ways.items()
    ]
    return lines(measures, [counted(scale.backlog)], [counted(0)], "no backlog")


def counted(backlog: int) -> Sample:
    """Instructions for each job: of submits one by one, claims and finishes a trip at a time."""
    scripts = Scripts()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="triton-bench-") as name:
        folder = Path(name)
        with _server(folder) as server:
            send(
                server.client,
                [scripts.open(PREFIX, "e", 1), scripts.submit(PREFIX, submissions(WAITING))],
            )
            fill(server, scripts, backlog)
            server.client.save()
        with _server(folder, *TOOL, f"--callgrind-out-file={folder}/count") as server:

            def count(way: str, work: Callable[[], None]) -> None:
                control(server.pid, "-i", "on")
                work()
                server.client.ping()
                control(server.pid, "-d", way)
                control(server.pid, "-i", "off")
                figures[way] = total(folder / f"count.{len(figures) + 1}") / JOBS

            # It knows no script yet.
            _each(server.client, [finish(scripts, claim(server, scripts, TRIP))])
            given: list[list[tuple[str, int]]] = []
            trips = range(JOBS // TRIP)
            submits = [scripts.submit(PREFIX, submissions(1)) for _ in range(JOBS)]
            count("submit", lambda: _each(server.client, submits))
            count("claim", lambda: given.extend(claim(server, scripts, TRIP) for _ in trips))
            count("finish", lambda: _each(server.client, [finish(scripts, held) for held in given]))
    return figures


class _Server(NamedTuple):
    client: redis.Redis
    pid: int


@contextmanager
def _server(folder: Path, *tool: str) -> Iterator[_Server]:
    """Without its append-only file: it would be written twice, and rewritten in between."""
    files = ("--dir", str(folder), "--appendonly", "no", "--save", "")
    argv = [*tool, _binary(), "--port", "0", "--unixsocket", f"{folder}/socket", *files]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(f"unix://{folder}/socket", socket_timeout=PATIENCE) as client:
            _until(lambda: _answers(client))
            yield _Server(client, process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:  # it starts, or loads
        return False


def _each(client: redis.Redis, calls: Sequence[Call]) -> None:
    for call in calls:
        send(client, [call])


def control(pid: int, *what: str) -> None:
    argv = ["callgrind_control", *what, str(pid)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def total(file: Path) -> int:
    """The instructions in a file of callgrind's, which it may still be writing."""
    found: list[str] = []

    def complete() -> bool:
        found[:] = re.findall(r"^totals: (\d+)", file.read_text() if file.exists() else "", re.M)
        return bool(found)

    _until(complete)
    return int(found[0])


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("a server under callgrind took too long")
        time.sleep(0.1)
