"""Owns the rules of time, by the server's clock: nothing starts early, no lease ends early. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from soak.evidence import Evidence
from soak.rules.lives import story, word
from triton.events.types import RetryScheduled, Snoozed, Submitted


def due_times_are_respected(evidence: Evidence) -> Iterator[str]:
    for events in evidence.jobs.values():
        due = 0
        for event in events:
            if isinstance(event.data, Submitted | RetryScheduled | Snoozed):
                due = event.data.due
            elif word(event) in ("due", "started") and event.at < due:
                # By a clock that was set back in between, a start may look early; a due event never is.
                if word(event) == "started" and evidence.clock_stepped:
                    continue
                yield f"{word(event)} {(due - event.at) / 1000:.1f} ms early: {story(events)}"
                break


def no_lease_is_taken_early(evidence: Evidence) -> Iterator[str]:
    if evidence.clock_stepped:
        return  # leases go by the clock as it is, the times of events do not go back with it
    for job, leases in evidence.leases.items():
        for lease in leases:
            over = lease.over
            if over is None or over.type != "job.lease_lost":
                continue
            held = over.at - lease.started.at
            died = evidence.dead.get(evidence.pid_of(lease.started))
            if died is not None and died <= over.at:
                continue  # whose end was seen need not be waited for
            if held < evidence.lease_ms * 1000:
                yield (
                    f"attempt {over.attempt} lost its lease after {held / 1000:.1f} ms of "
                    f"{evidence.lease_ms}: {story(evidence.jobs[job])}"
                )
