"""Owns the fold of a batch to one change per job, by the same rules as `triton.job.evolve`. Pure.

No event's effect depends on the job's state before it, besides the version. So the events of a job in a
batch fold to the last value of what they touch, and nothing need be read back from the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from triton.events.types import HoldLifted, HoldPlaced, RetentionSet, Submitted
from triton.job import changes
from triton.projections.births import Birth, state_lines, submission_lines
from triton.projections.lines import Fields
from triton.projections.render import to_json
from triton.projections.rows import Piece, Poison, Rows
from triton.projections.stamps import stamp

#: Fields of a fold that are times: 0 is "none", which a patch writes as `epoch`.
_TIMES: Final = ("at", "due", "started", "finished")
#: Fields whose "cleared" differs from "untouched" by an array around the value.
_BOXED: Final = ("error", "result")
#: Births that are made lines together.
_BIRTHS: Final = 250
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
        #: The positions of events that are rules: what is held, and how long what is kept.
        self.rules: list[int] = []
        #: A newborn's state, or a patch.
        self._known: dict[str, dict[str, Any]] = {}
        self._late: dict[str, str] = {}

    def take(self, rows: Rows, fields: Sequence[Fields]) -> dict[int, str]:
        """Fold events in; `fields` are those of their lines. Answers which of them, by their index, cannot
        follow their job's last one, and why; nor does what comes after them of the same job."""
        reasons: dict[int, str] = {}
        known, late = self._known, self._late
        events = zip(
            *(rows.jobs(), rows.page.positions, rows.version, rows.attempt, rows.at, rows.data),
            strict=True,
        )
        for index, (job, position, version, attempt, at, data) in enumerate(events):
            if late and job in late:
                reasons[index] = late[job]
                continue
            if isinstance(data, Submitted):
                state = {
                    **_NEWBORN,
                    "state": "scheduled" if data.due else "pending",
                    "due": data.due,
                    "version": version,
                    "position": position,
                    "at": at,
                }
                self.births[job] = Birth(data, fields[index], state)
                self.patches.pop(job, None)
                known[job] = state
                continue
            if not job:  # administrative: history, and no state of a job
                if isinstance(data, (HoldPlaced, HoldLifted, RetentionSet)):
                    self.rules.append(position)
                continue
            state = known.get(job) or self._patch(job, version)
            if version != state["version"] + 1:
                reasons[index] = f"version {version} of the job follows {state['version']}"
                late[job] = _behind(position)
                continue
            state["version"] = version
            state["position"] = position
            state["at"] = at
            state |= changes(data, attempt, at)
        return reasons

    def _patch(self, job: str, version: int) -> dict[str, Any]:
        """Of a job that was there before its first event in the batch, which has this version."""
        patch = {"job": job, "expected": version - 1, "version": version - 1}
        self.patches[job] = self._known[job] = patch
        return patch

    def birth_lines(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """The births as lines for `sql/copy_submissions.sql` and `sql/copy_states.sql`, some at a time: the
        work of a millisecond."""
        births = list(self.births.values())
        for begin in range(0, len(births), _BIRTHS):
            some = births[begin : begin + _BIRTHS]
            yield submission_lines(some, partition), state_lines(some)

    def patches_json(self) -> str:
        """The patches for `sql/patches.sql`."""
        return to_json([_written(patch) for patch in self.patches.values()]).decode()


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
