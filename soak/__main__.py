"""Owns the command line: `python -m soak`, bounded, from a printed seed."""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from soak.faults import FAULTS
from soak.report import lines
from soak.run import Plan, soak

#: Debian's package `faketime`.
_FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
_SHOWN = 40
#: Seconds from which on a soak has two acts.
_LONG = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of load under faults")
    parser.add_argument("--seed", type=int, help="of an earlier run; a new one without")
    parser.add_argument("--only", choices=FAULTS, action="append", help="may be repeated")
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument(
        "--cuts", type=int, default=6, help="of copies of the log's file, at the end"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    given = parser.parse_args()
    if not sys.platform.startswith("linux"):
        print("the soak finds its processes in /proc and runs on Linux only", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))  # so that children end and folders go
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    clock = next(Path("/").glob(_FAKETIME.lstrip("/")), None)
    plan = Plan(
        seed=seed,
        seconds=given.seconds,
        only=tuple(given.only or ()),
        partitions=given.partitions,
        cuts=given.cuts,
    )
    if "step-clock" in plan.only and clock is None:
        print("the package faketime is not installed: no clock steps", file=sys.stderr)
        return 2
    print(f"seed {seed}: {_machine()}", flush=True)
    acts = _acts(plan, clock)
    return max([_act(act, keep=given.keep) for act in acts])


def _acts(plan: Plan, clock: Path | None) -> list[Plan]:
    """A long soak has two acts: in the second, the server's clock jumps too, and times of two clocks cannot
    be compared any more."""
    stepped = msgspec.structs.replace(plan, clock=clock)
    if plan.only:
        return [stepped if "step-clock" in plan.only else plan]
    if plan.seconds < _LONG:
        return [plan]
    if clock is None:
        print("the package faketime is not installed: the server's clock is left as it is")
        return [plan]
    first = plan.seconds * 2 / 3
    return [
        msgspec.structs.replace(plan, seconds=first),
        msgspec.structs.replace(stepped, seconds=plan.seconds - first),
    ]


def _act(plan: Plan, *, keep: bool) -> int:
    """One platform from its start to its verdict; 1 where the checker objects."""
    if plan.clock is not None:
        print("\nWith clock steps:", flush=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as nobody and passes through
    try:
        verdict = soak(plan, folder, say)
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for line in lines(verdict):
        print(line)
    strange = {k: n for k, n in verdict.exits.items() if k.split()[1] not in ("-9", "-15", "0")}
    print(f"\n{verdict.seconds:.0f} s in all; other exits: {strange or 'none'}")
    if not verdict.objections:
        print("nothing lost: every rule holds")
        return 0
    for objection in verdict.objections[:_SHOWN]:
        print(f"OBJECTION  {objection.rule}: {objection.text}")
    print(f"{len(verdict.objections)} objections; repeat with --seed {plan.seed}")
    return 1


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
