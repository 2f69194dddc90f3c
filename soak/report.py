"""Owns the tables that a soak prints. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from soak.evidence import Evidence
from soak.records import Injected
from soak.run import Verdict


def lines(verdict: Verdict) -> Iterator[str]:
    """Markdown, ready for a document."""
    evidence = verdict.evidence
    yield from _jobs(evidence)
    yield from _faults(verdict.injected)
    yield from _recovery(evidence, verdict.injected)
    yield from _memory(verdict.memory)
    if verdict.cuts:
        yield ""
        yield "| bytes cut from the log's file | events lost | accepted jobs lost | named by |"
        yield "|---|---|---|---|"
        for cut in verdict.cuts:
            yield f"| {cut.bytes} | {cut.events} | {cut.jobs} | {', '.join(cut.named_by) or 'nothing lost'} |"


def _jobs(evidence: Evidence) -> Iterator[str]:
    answers = Counter(asked.answer for asked in evidence.asked)
    kinds = Counter(event.type.removeprefix("job.") for event in evidence.events)
    yield ""
    yield "| what | how many |"
    yield "|---|---|"
    yield f"| submits accepted | {answers['accepted']:,} |"
    unknown = [a for a in evidence.asked if a.answer == "unknown"]
    there = sum(a.job in evidence.jobs for a in unknown)
    yield f"| submits without an answer | {len(unknown):,}, of them {there:,} became jobs |"
    yield f"| submits refused | {answers['refused']:,} |"
    yield f"| jobs | {len(evidence.jobs):,} |"
    yield f"| events | {len(evidence.events):,} |"
    for name in ("completed", "failed", "cancelled", "retry_scheduled", "snoozed", "requeued"):
        yield f"| {name.replace('_', ' ')} | {kinds[name]:,} |"
    yield f"| given back by a worker that stopped | {kinds['released']:,} |"
    yield f"| leases lost, so redelivered or ended | {kinds['lease_lost']:,} |"
    yield f"| runs that outlived their lease, outcome refused | {_late(evidence):,} |"


def _memory(memory: Sequence[tuple[float, int, int]]) -> Iterator[str]:
    """What the server held, in quarters of the load."""
    if not memory:
        return
    end = memory[-1][0]
    yield ""
    yield "| quarter of the load | events ever written | data in Redis, median | most |"
    yield "|---|---|---|---|"
    for quarter in range(4):
        part = [one for one in memory if quarter <= 4 * one[0] / (end + 1) < quarter + 1]
        if part:
            held = [one[2] / 1e6 for one in part]
            yield f"| {quarter + 1} | {part[-1][1]:,} | {median(held):.1f} MB | {max(held):.1f} MB |"


def _late(evidence: Evidence) -> int:
    """Runs that came to their end after their lease was another's."""
    over = {
        (job, lease.started.attempt): lease.over
        for job, leases in evidence.leases.items()
        for lease in leases
    }
    late = 0
    for note in evidence.notes:
        end = over.get((note.job, note.attempt))
        late += note.word == "end" and end is not None and end.type == "job.lease_lost"
    return late


def _faults(injected: Sequence[Injected]) -> Iterator[str]:
    by_kind: dict[str, list[Injected]] = defaultdict(list)
    for each in injected:
        by_kind[each.kind].append(each)
    yield ""
    yield "| fault | times | works again after, p50 | p99 | longest |"
    yield "|---|---|---|---|---|"
    for kind, group in sorted(by_kind.items()):
        # What lasts is over when it is taken back; the rest at once.
        took = [(each.recovered - each.ended) / 1e6 for each in group if each.recovered]
        if "worker" in kind or kind == "fill-archive" or not took:
            yield f"| {kind} | {len(group)} | | | |"
        else:
            times = (
                f"{quantile(took, 0.5):.1f} s | {quantile(took, 0.99):.1f} s | {max(took):.1f} s"
            )
            yield f"| {kind} | {len(group)} | {times} |"


def _recovery(evidence: Evidence, injected: Sequence[Injected]) -> Iterator[str]:
    """From the moment at which a worker was hit to the moment at which another had its job."""
    took = []
    for leases in evidence.leases.values():
        for lease, after in pairwise(leases):
            if lease.over is None or lease.over.type != "job.lease_lost":
                continue
            hits = [
                each.begun
                for each in injected
                if evidence.pid_of(lease.started) in each.pids and each.begun <= lease.over.at
            ]
            if hits:
                took.append((after.started.at - max(hits)) / 1e6)
    yield ""
    if took and not evidence.clock_stepped:
        yield (
            f"{len(took)} jobs of workers that were killed or stopped began again elsewhere after "
            f"{quantile(took, 0.5):.1f} s (p50), {quantile(took, 0.99):.1f} s (p99), "
            f"{max(took):.1f} s (longest); a lease lasts {evidence.lease_ms / 1000:.0f} s."
        )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
