"""Owns the fold of a batch to one change per job, by the same rules as `triton.job.evolve`. Pure.

No event's effect depends on the job's state before it, besides the version. So the events of a job in a
batch fold to the last value of what they touch, and nothing need be read back from the store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from triton.events.types import Submitted
from triton.job import changes
from triton.projections.lines import Row, escaped, escaped_json
from triton.projections.render import clean_text, to_json
from triton.projections.rows import Piece, Poison, Rows
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


class Sifter:
    """Parts a batch, piece by piece, into what can be applied and what is `parked`.

    Parked are: entries that cannot be read, events of a job in `refused` (with the reason), and whatever
    comes after a parked event of the same job, in this batch or (the jobs in `before`) before it.
    """

    def __init__(self, before: Collection[str], refused: Mapping[str, str] | None = None) -> None:
        self.parked: list[Poison] = []
        # Administrative events have no job: none of them depends on another.
        jobs = filter(None, before)
        self._reasons = {
            **dict.fromkeys(jobs, "behind a parked event of this job"),
            **(refused or {}),
        }

    def sift(self, piece: Piece) -> Rows | None:
        """What of the next piece can be applied."""
        reasons = self._reasons
        if isinstance(piece, Poison):
            reason = reasons.get(piece.job, piece.reason)
            if piece.job:
                reasons[piece.job] = _behind(piece.entry.position)
            self.parked.append(Poison(piece.entry, piece.job, reason))
            return None
        if not reasons or reasons.keys().isdisjoint(jobs := piece.jobs()):
            return piece
        found: dict[int, str] = {}
        for index, job in enumerate(jobs):
            if job in reasons:
                found[index] = reasons[job]
                reasons[job] = _behind(piece.page.positions[index])
        self.parked.extend(poisons(piece, found))
        rest = piece.only([index not in found for index in range(piece.size)])
        return rest if rest.size else None


def _behind(position: int) -> str:
    return f"behind position {position} of this job"


def poisons(rows: Rows, reasons: Mapping[int, str]) -> list[Poison]:
    """The rows at these indexes, to be parked."""
    jobs = rows.jobs()
    return [
        Poison(rows.page.entry(index), jobs[index], reason) for index, reason in reasons.items()
    ]


class JobFold:
    """What the events of a batch do to their jobs: who is born, and what changes of who was there."""

    def __init__(self) -> None:
        self.births: dict[str, Birth] = {}
        self.patches: dict[str, dict[str, Any]] = {}
        self._late: dict[str, str] = {}

    def take(self, rows: Sequence[Row]) -> dict[int, str]:
        """Fold events in. Answers which of them, by their index, cannot follow their job's last one, and
        why; nor does what comes after them of the same job."""
        reasons: dict[int, str] = {}
        for index, row in enumerate(rows):
            reason = self._take(row)
            if reason is not None:
                reasons[index] = reason
                self._late[row.job] = _behind(row.position)
        return reasons

    def _take(self, row: Row) -> str | None:
        job = row.job
        if self._late and job in self._late:
            return self._late[job]
        data = row.datum.data
        if isinstance(data, Submitted):
            self.births[job] = Birth(row)
            self.patches.pop(job, None)
            return None
        if not job:  # administrative: history, and no state
            return None
        born = self.births.get(job)
        known = born.changed() if born is not None else self.patches.get(job)
        if known is None:
            known = self.patches[job] = {"job": job, "expected": row.version - 1}
        elif row.version != known["version"] + 1:
            return f"version {row.version} of the job follows {known['version']}"
        known["version"] = row.version
        known["position"] = row.position
        known["at"] = row.at
        known |= changes(data, row.attempt, row.at)
        return None

    def submission_lines(self, partition: int) -> bytes:
        """The births as lines for `sql/copy_submissions.sql`."""
        return b"".join([_submission(born.row, partition) for born in self.births.values()])

    def state_lines(self) -> bytes:
        """The births as lines for `sql/copy_states.sql`."""
        return "".join([born.line() for born in self.births.values()]).encode()

    def patches_json(self) -> str:
        """The patches for `sql/patches.sql`."""
        return to_json([_written(patch) for patch in self.patches.values()]).decode()


class Birth:
    """A job that was submitted in the batch: the row of its job.submitted, and what came after it."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.state: dict[str, Any] | None = None

    def changed(self) -> dict[str, Any]:
        """The state, to be changed by a later event."""
        if self.state is None:
            row = self.row
            due = cast("Submitted", row.datum.data).due
            self.state = {
                **_NEWBORN,
                "state": "scheduled" if due else "pending",
                "due": due,
                "version": row.version,
                "position": row.position,
                "at": row.at,
            }
        return self.state

    def line(self) -> str:
        row = self.row
        if self.state is not None:
            return _state(row.job, self.state)
        due = cast("Submitted", row.datum.data).due
        return (
            f"{_text(row.job)}\t{'scheduled' if due else 'pending'}\t0\t{row.version}\t"
            f"{row.position}\t0\t\t\t0\tf\t\t{_time(due)}\t\\N\t\\N\t{stamp(row.at)}\t\\N\t\\N\n"
        )


def _written(patch: dict[str, Any]) -> dict[str, Any]:
    """A patch as the statement takes it."""
    row = patch.copy()
    for name in _TIMES:
        if name in row:
            row[name] = stamp(row[name]) if row[name] else "epoch"
    for name in _BOXED:
        if name in row:
            row[name] = [row[name]]
    return row


def _submission(row: Row, partition: int) -> bytes:
    _, job, _, _, _, at, by, tenant, queue, causation, correlation, trace, _, _ = row.fields
    data = cast("Submitted", row.datum.data)
    body = row.datum.body
    return b"\t".join(
        (
            job,
            tenant,
            queue,
            escaped(clean_text(data.actor).encode()),
            b"%d" % data.priority,
            at,
            by,
            causation,
            correlation,
            trace,
            _field(body.args if body else None),
            _field(body.kwargs if body else None),
            b"%d\n" % partition,
        )
    )


def _state(job: str, state: Mapping[str, Any]) -> str:
    return "\t".join(
        (
            _text(job),
            state["state"],
            f"{state['attempt']}\t{state['version']}\t{state['position']}\t{state['percent']}",
            _text(state["stage"]),
            _text(state["worker"]),
            str(state["deaths"]),
            "t" if state["cancel_requested"] else "f",
            _text(state["reason"]),
            _time(state["due"]),
            _time(state["started"]),
            _time(state["finished"]),
            stamp(state["at"]),
            _json(state["error"]),
            _json(state["result"]) + "\n",
        )
    )


def _text(text: str) -> str:
    return escaped(clean_text(text).encode()).decode() if text else ""


def _time(at: int) -> str:
    return stamp(at) if at else "\\N"


def _json(value: Any) -> str:
    encoded = b"null" if value is None else to_json(value)
    # A value that JSON cannot hold (NaN) is none, as in a patch.
    return "\\N" if encoded == b"null" else escaped_json(encoded).decode()


def _field(encoded: bytes | None) -> bytes:
    return b"\\N" if encoded is None else escaped_json(encoded)
