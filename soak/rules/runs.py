"""Owns the rules of what really ran, by the notes of the actors themselves. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from soak.evidence import Evidence
from soak.kinds import SILENT_ACTORS
from soak.records import Note
from soak.rules.lives import story
from triton.events.types import StepCompleted

#: Microseconds that a note and the server's look at the same clock may be apart.
_SLACK: Final = 50_000


def one_run_per_lease(evidence: Evidence) -> Iterator[str]:
    begun: Counter[tuple[str, int]] = Counter()
    for note in evidence.notes:
        if note.word == "begin":
            begun[note.job, note.attempt] += 1
    started = {
        (event.job, event.attempt) for event in evidence.events if event.type == "job.started"
    }
    for (job, attempt), count in begun.items():
        if (job, attempt) not in started:
            yield f"attempt {attempt} of {job} ran, and the log knows of no such lease"
        elif count > 1:
            yield f"attempt {attempt} ran {count} times: {story(evidence.jobs[job])}"


def recorded_steps_do_not_run_again(evidence: Evidence) -> Iterator[str]:
    """A step's function runs once more for each attempt that ended before it was recorded, and no more."""
    ran = Counter(note.job for note in evidence.notes if note.word == "step")
    for job, count in ran.items():
        events = evidence.jobs.get(job, [])
        recorded = sum(event.type == "job.step_completed" for event in events)
        names = [e.data.name for e in events if isinstance(e.data, StepCompleted)]
        attempts = sum(event.type == "job.started" for event in events)
        if len(set(names)) < len(names) and events:
            yield f"a step was recorded twice: {story(events)}"
        if count < recorded:
            yield f"{recorded} steps are recorded, {count} ran: {story(events)}"
        # Every attempt but one may have lost one step on its way to the log.
        if count > recorded + max(0, attempts - 1):
            yield f"{count} steps ran where {recorded} are recorded: {story(events)}"


def outcomes_have_runs(evidence: Evidence) -> Iterator[str]:
    """What completed has run from its beginning to its end, all of it within the lease."""
    notes: dict[tuple[str, int], dict[str, Note]] = defaultdict(dict)
    for note in evidence.notes:
        notes[note.job, note.attempt][note.word] = note
    for job, leases in evidence.leases.items():
        if evidence.actor_of(job) in SILENT_ACTORS:
            continue
        for lease in leases:
            over = lease.over
            if over is None or over.type != "job.completed":
                continue
            run = notes[job, over.attempt]
            if "begin" not in run or "end" not in run:
                found = ", ".join(run) or "nothing"
                yield f"it completed, and its actor noted {found}: {story(evidence.jobs[job])}"
            elif not evidence.clock_stepped and not (
                lease.started.at - _SLACK <= run["begin"].at and run["end"].at <= over.at + _SLACK
            ):
                yield f"its run was outside of its lease: {story(evidence.jobs[job])}"


def leases_do_not_overlap(evidence: Evidence) -> Iterator[str]:
    for job, leases in evidence.leases.items():
        for one, other in pairwise(leases):
            if one.over is None:
                yield f"two leases at once: {story(evidence.jobs[job])}"
            elif one.over.at > other.started.at and not evidence.clock_stepped:
                yield f"a lease began before the one before it ended: {story(evidence.jobs[job])}"
