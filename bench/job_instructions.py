"""Owns what a no-op job costs its sender and its worker in instructions, beside RedisBroker's.

Both run under valgrind's callgrind, which must be installed; what the kernel does for them is not in the
count. What the server does is counted by `bench.instructions`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.apps.record import FILE, URL
from bench.instructions import TOOL, control, total
from bench.jobs import REDIS, TRITON
from bench.scale import Scale
from bench.servers import environment, valkey
from bench.table import Goal, Measure, Sample, lines

JOBS = 400
MEASURES = (
    Measure("instructions of a sender, one by one", "per job", "send", "send"),
    Measure("instructions of a worker of eight threads", "per job", "work", "work"),
    Measure("of both", "per job", "both", "both", Goal("ratio", "at most", 1)),
)


def run(scale: Scale) -> list[str]:  # noqa: ARG001
    if shutil.which(TOOL[0]) is None:
        return ["valgrind is not installed: instructions were not counted."]
    return lines(MEASURES, [_counted(TRITON)], [_counted(REDIS)], "RedisBroker")


def _counted(app: str) -> Sample:
    figures = {way: _instructions(app, way) for way in ("send", "work")}
    return {**figures, "both": sum(figures.values())}


def _instructions(app: str, way: str) -> float:
    with valkey() as server:
        count = server.folder / "count"
        argv = (*TOOL, "--fair-sched=yes", f"--callgrind-out-file={count}", sys.executable)
        given = {URL: server.url, FILE: str(server.folder / "record"), "PYTHONHASHSEED": "0"}
        with subprocess.Popen(
            (*argv, "-m", "bench.apps.counted", app, way, str(JOBS)),
            env=environment(given),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            _heard(process, b"ready")
            control(process.pid, "-i", "on")
            _go_on(process)
            _heard(process, b"done")
            control(process.pid, "-d", way)
            found = total(Path(f"{count}.1"))
            _go_on(process)
    return found / JOBS


def _heard(process: subprocess.Popen[bytes], word: bytes) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != word:
        raise RuntimeError(f"the counted process ended (code {process.wait()}) before {word!r}")


def _go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(os.linesep.encode())
    process.stdin.flush()
