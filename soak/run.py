"""Owns one soak from its start to its verdict: load and faults, quiet, the checker, the cut."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import msgspec

from soak.adoption import cut_and_adopt
from soak.evidence import Evidence, collect
from soak.gauges import Gauges
from soak.platform import WORKERS, Platform
from soak.records import Injected
from soak.rules import Objection, check
from soak.schedule import Schedule
from soak.tail import Cut, cut_copies
from triton.stack.processes import Exit

_POLL: Final = 0.03
#: Operations of the load per second at most.
RATE: Final = 30.0
LEASE_MS: Final = 3000
#: Seconds of load from which on old jobs have left; how much more the last quarter of it may hold than the
#: second: with faults, a log waits for its projectors and archivers now and then.
_LONG: Final = 240.0
_FLAT: Final = 1.25


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, all of it from a seed."""

    seed: int
    #: Seconds of load under faults; what follows takes about a minute more at most.
    seconds: float
    only: Sequence[str] = ()
    partitions: int = 2
    #: Copies of the append-only file that are cut.
    cuts: int = 6
    clock: Path | None = None
    #: Seconds within which everything must be done once nobody hurts it any more.
    quiet: float = 60.0


class Verdict(msgspec.Struct, kw_only=True):
    """What a soak found."""

    plan: Plan
    evidence: Evidence
    injected: list[Injected]
    objections: list[Objection]
    cuts: list[Cut]
    #: Roles that ended, and with which status: by our hand (-9, -15), or by themselves.
    exits: Counter[str]
    seconds: float
    #: What the server held during the load: seconds since its begin, events ever, bytes of data.
    memory: list[tuple[float, int, int]]


Say = Callable[[str], None]


def soak(plan: Plan, folder: Path, say: Say) -> Verdict:
    """Runs it below an empty folder with a short path. Raises StartupError."""
    begun = time.monotonic()
    clock = plan.clock if not plan.only or "step-clock" in plan.only else None
    platform = Platform(folder, partitions=plan.partitions, lease_ms=LEASE_MS, clock=clock)
    exits: Counter[str] = Counter()

    def ended(exit_: Exit) -> None:
        exits[f"{exit_.name} {exit_.status}"] += 1

    platform.supervisor.on_exit = ended
    say("starting engines, API, projectors and workers")
    with platform:
        gauges = Gauges(platform)
        schedule = Schedule(platform, gauges, plan.seed, plan.only)
        memory: list[tuple[float, int, int]] = []
        objections = _hurt(platform, schedule, plan, exits, memory, gauges, say)
        objections += _calm(platform, schedule, gauges, plan, say)
        platform.end(WORKERS)
        say("reading the log, the stores and every key")
        evidence = collect(
            platform.settings,
            platform.requests,
            platform.notes,
            clock_stepped=clock is not None,
            injected=schedule.injected,
        )
        objections += check(evidence)
        objections += _verified(platform)
        objections += flat(memory)
        cuts: list[Cut] = []
        if not objections and plan.cuts:
            say("cutting the tail of the append-only file")
            for found in _cut(platform, evidence, plan):
                if isinstance(found, Cut):
                    cuts.append(found)
                else:
                    objections.append(found)
        gauges.close()
    return Verdict(
        plan=plan,
        evidence=evidence,
        injected=schedule.injected,
        objections=objections,
        cuts=cuts,
        exits=exits,
        seconds=time.monotonic() - begun,
        memory=memory,
    )


def _hurt(
    platform: Platform,
    schedule: Schedule,
    plan: Plan,
    exits: Counter[str],
    memory: list[tuple[float, int, int]],
    gauges: Gauges,
    say: Say,
) -> list[Objection]:
    """Load and faults, side by side, until the load's process ends."""
    say(f"{plan.seconds:.0f} s of load and faults")
    load = platform.run(
        "load",
        "soak.load",
        *("--seed", str(plan.seed), "--seconds", str(plan.seconds), "--rate", str(RATE)),
        *("--journal", str(platform.requests), "--proxy", platform.proxy_url),
        *("--api", platform.api_url),
    )
    begun = time.monotonic()
    deadline = begun + plan.seconds + 60
    while load.running() and time.monotonic() < deadline:
        platform.poll()
        schedule.step()
        after, seen = time.monotonic() - begun, gauges.read()
        if seen.memory >= 0 and after >= len(memory):
            memory.append((after, seen.last_log, seen.memory))
        time.sleep(_POLL)
    schedule.end()
    platform.poll()
    if exits["load 0"] == 1:
        return []
    return [Objection(rule="the load", text=f"its process failed: {load.last_words(8)}")]


def _calm(
    platform: Platform, schedule: Schedule, gauges: Gauges, plan: Plan, say: Say
) -> list[Objection]:
    """Nobody hurts anything now: everything must come to its end."""
    say("waiting for everything to end")
    deadline = time.monotonic() + plan.quiet
    calm = 0
    while time.monotonic() < deadline:
        platform.poll()
        schedule.step(more=False)
        seen = gauges.read()
        read = seen.log == seen.postgres == seen.clickhouse == seen.archive
        quiet = seen.jobs == 0 == seen.outbox and seen.api and read
        calm = calm + 1 if quiet else 0
        if calm > 20:
            break
        time.sleep(_POLL)
    else:
        waits = (
            f"after {plan.quiet:.0f} s of quiet: {gauges.read()}; not recovered from: "
            f"{[each.kind for each in schedule.injected if not each.recovered]}"
        )
        return [Objection(rule="everything comes to its end", text=waits)]
    return []


def _verified(platform: Platform) -> list[Objection]:
    """What is said of both stores, of the archive, and of the archive by who knows nothing else."""
    found = []
    for rule, done in (
        ("projections equal the fold", platform.triton("verify")),
        ("the archive is what was signed", platform.triton("audit", "verify")),
        ("the archive proves itself", platform.verify_alone()),
    ):
        if done.returncode != 0:
            text = f"it ended with {done.returncode}: {done.stdout}{done.stderr}"
            found.append(Objection(rule=rule, text=text))
    return found


def flat(memory: Sequence[tuple[float, int, int]]) -> list[Objection]:
    """What the server holds must not grow with what was ever written, once old jobs leave it too."""
    if not memory or memory[-1][0] < _LONG:
        return []
    end = memory[-1][0]
    second, last = (
        median(held for after, _, held in memory if share <= after / end < share + 0.25)
        for share in (0.25, 0.75)
    )
    if last <= _FLAT * second:
        return []
    text = (
        f"{second / 1e6:.1f} MB in the second quarter of the load, {last / 1e6:.1f} MB in the last"
    )
    return [Objection(rule="the server's memory is flat", text=text)]


def _cut(platform: Platform, evidence: Evidence, plan: Plan) -> list[Cut | Objection]:
    """First copies, then the file itself, under the eyes of projectors that run."""
    chance = Random(plan.seed)
    server = platform.child("valkey").spec
    platform.end(["valkey"])
    found = list(cut_copies(platform, evidence, platform.requests, plan.cuts, chance))
    return [*found, *cut_and_adopt(platform, server, evidence, chance)]
