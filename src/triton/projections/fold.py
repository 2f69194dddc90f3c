"""Owns the fold of a batch to one change per job, by the same rules as `triton.job.evolve`. Pure.

No event's effect depends on the job's state before it, besides the version. So the events of a job in a
batch fold to the last value of what they touch, and nothing need be read back from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

from triton.events.types import Submitted
from triton.job import changes
from triton.projections.rows import Poison, Reading, Row


class Sifted(NamedTuple):
    """A batch, parted into what can be applied and what is parked; both in order."""

    applied: list[Row]
    parked: list[Poison]


def sift(
    rows: Sequence[Reading],
    parked: Collection[str],
    refused: Mapping[str, str] | None = None,
    take: Callable[[Row], str | None] | None = None,
) -> Sifted:
    """Part a batch.

    Parked are: entries that cannot be read, events of a job in `refused` (with the reason), events for
    which `take` answers a reason, and whatever comes after a parked event of the same job, in this batch
    or (the jobs in `parked`) before it.
    """
    sifted = Sifted([], [])
    behind: dict[str, str] = {}
    for row in rows:
        job = row.job
        if job in behind:
            sifted.parked.append(Poison(row.entry, job, behind[job]))
            continue
        reason: str | None = None
        if isinstance(row, Poison):
            reason = row.reason
        elif job in parked:
            reason = "behind a parked event of this job"
        elif refused and job in refused:
            reason = refused[job]
        elif take is not None:
            reason = take(row)
        if reason is None:
            sifted.applied.append(cast("Row", row))
        else:
            sifted.parked.append(Poison(row.entry, job, reason))
            behind[job] = f"behind position {row.entry.position} of this job"
    return sifted


class JobFold:
    """What the events of a batch do to their jobs.

    `births` holds, by job, the rows of `sql/births.sql`, and `patches` those of `sql/patches.sql`.
    """

    def __init__(self) -> None:
        self.births: dict[str, dict[str, Any]] = {}
        self.patches: dict[str, dict[str, Any]] = {}

    def take(self, row: Row) -> str | None:
        """Fold one event in; or why it cannot follow the job's last one."""
        job = row.job
        if isinstance(row.data, Submitted):
            self.births[job] = _born(row, row.data)
            self.patches.pop(job, None)
            return None
        known = self.births.get(job)
        if known is None:
            known = self.patches.get(job)
        if known is None:
            known = self.patches[job] = {"job": job, "expected": row.version - 1}
        elif row.version != known["version"] + 1:
            return f"version {row.version} of the job follows {known['version']}"
        known["version"] = row.version
        known["position"] = row.entry.position
        known["at"] = row.at
        known.update(changes(row.data, row.attempt, row.at))
        return None

    def boxed(self) -> list[dict[str, Any]]:
        """The patches, with error and result in an array: so "cleared" differs from "untouched"."""
        return [
            patch | {name: [patch[name]] for name in ("error", "result") if name in patch}
            for patch in self.patches.values()
        ]


def _born(row: Row, data: Submitted) -> dict[str, Any]:
    by, causation, correlation, trace, tenant, queue = row.entry.fields[11:23:2]
    body = row.body or {}
    return {
        "job": row.job,
        "partition": row.entry.partition,
        "tenant": tenant.decode(),
        "queue": queue.decode(),
        "actor": data.actor,
        "priority": data.priority,
        "submitted": row.at,
        "by": by.decode(),
        "causation": causation.decode(),
        "correlation": correlation.decode(),
        "traceparent": trace.decode(),
        "args": body.get("args"),
        "kwargs": body.get("kwargs"),
        "state": "scheduled" if data.due else "pending",
        "attempt": 0,
        "version": row.version,
        "position": row.entry.position,
        "at": row.at,
        "due": data.due,
        "started": 0,
        "finished": 0,
        "percent": 0.0,
        "stage": "",
        "worker": "",
        "deaths": 0,
        "cancel_requested": False,
        "reason": "",
        "error": None,
        "result": None,
    }
