"""Owns the fold of a batch to one change per job, by the same rules as `triton.job.evolve`. Pure.

No event's effect depends on the job's state before it, besides the version. So the events of a job in a
batch fold to the last value of what they touch, and nothing need be read back from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from triton.events.types import Submitted
from triton.job import changes
from triton.projections.render import clean_text, to_json
from triton.projections.rows import Poison, Reading, Row, escaped, escaped_json
from triton.projections.stamps import stamp

#: Fields of a fold that are times: 0 is "none", which a patch writes as `epoch`.
_TIMES: Final = ("at", "due", "started", "finished")
#: Fields whose "cleared" differs from "untouched" by an array around the value.
_BOXED: Final = ("error", "result")
_NEWBORN: Final[dict[str, Any]] = {
    "attempt": 0,
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
    """What the events of a batch do to their jobs: who is born, and what changes of who was there."""

    def __init__(self) -> None:
        self.births: dict[str, tuple[Row, dict[str, Any]]] = {}
        self.patches: dict[str, dict[str, Any]] = {}

    def take(self, row: Row) -> str | None:
        """Fold one event in; or why it cannot follow the job's last one."""
        job = row.job
        data = row.data
        if isinstance(data, Submitted):
            state = {
                **_NEWBORN,
                "state": "scheduled" if data.due else "pending",
                "due": data.due,
                "version": row.version,
                "position": row.entry.position,
                "at": row.at,
            }
            self.births[job] = (row, state)
            self.patches.pop(job, None)
            return None
        born = self.births.get(job)
        known = born[1] if born is not None else self.patches.get(job)
        if known is None:
            known = self.patches[job] = {"job": job, "expected": row.version - 1}
        elif row.version != known["version"] + 1:
            return f"version {row.version} of the job follows {known['version']}"
        known["version"] = row.version
        known["position"] = row.entry.position
        known["at"] = row.at
        known |= changes(data, row.attempt, row.at)
        return None

    def submission_lines(self) -> bytes:
        """The births as lines for `sql/copy_submissions.sql`."""
        return b"".join([_submission(row) for row, _ in self.births.values()])

    def state_lines(self) -> bytes:
        """The births as lines for `sql/copy_states.sql`."""
        return "".join([_state(job, state) for job, (_, state) in self.births.items()]).encode()

    def patches_json(self) -> str:
        """The patches for `sql/patches.sql`."""
        rows = []
        for patch in self.patches.values():
            row = dict(patch)
            for name in _TIMES:
                if name in row:
                    row[name] = stamp(row[name]) if row[name] else "epoch"
            for name in _BOXED:
                if name in row:
                    row[name] = [row[name]]
            rows.append(row)
        return to_json(rows).decode()


def _submission(row: Row) -> bytes:
    # Of the event's own line: partition, position, job, version, type, attempt, at, by, tenant, queue, ...
    partition, _, job, _, _, _, at, by, tenant, queue, causation, correlation, trace, _ = (
        row.line.split(b"\t", 13)
    )
    data = cast("Submitted", row.data)
    body = row.body or {}
    return b"\t".join(
        (
            job,
            tenant,
            queue,
            escaped(clean_text(data.actor)).encode(),
            b"%d" % data.priority,
            at,
            by,
            causation,
            correlation,
            trace,
            _json(body.get("args")),
            _json(body.get("kwargs")),
            partition + b"\n",
        )
    )


def _state(job: str, state: Mapping[str, Any]) -> str:
    return "\t".join(
        (
            escaped(job),
            state["state"],
            f"{state['attempt']}\t{state['version']}\t{state['position']}\t{state['percent']}",
            escaped(clean_text(state["stage"])),
            escaped(clean_text(state["worker"])),
            str(state["deaths"]),
            "t" if state["cancel_requested"] else "f",
            escaped(clean_text(state["reason"])),
            _time(state["due"]),
            _time(state["started"]),
            _time(state["finished"]),
            stamp(state["at"]),
            _json(state["error"]).decode(),
            _json(state["result"]).decode() + "\n",
        )
    )


def _time(at: int) -> str:
    return stamp(at) if at else "\\N"


def _json(value: Any) -> bytes:
    return b"\\N" if value is None else escaped_json(to_json(value))
