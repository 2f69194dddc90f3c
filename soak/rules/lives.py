"""Owns the rules of a job's life: dense positions, allowed transitions, one end. Pure.

The transitions stand here once more on purpose: a mistake in Triton's own machine must not hide itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from soak.evidence import Evidence
from triton.events.envelope import Event
from triton.events.types import Failed

_RUNNING: Final = ("progressed", "output", "step_completed", "cancel_requested")
#: state -> event -> the state after it.
AFTER: Final[dict[str, dict[str, str]]] = {
    "scheduled": {"due": "pending", "cancelled": "cancelled"},
    "pending": {"started": "processing", "cancelled": "cancelled"},
    "processing": {
        **dict.fromkeys(_RUNNING, "processing"),
        "retry_scheduled": "scheduled",
        "snoozed": "scheduled",
        "released": "pending",
        "lease_lost": "pending",
        "completed": "completed",
        "failed": "failed",
        "cancelled": "cancelled",
    },
    "completed": {},
    "failed": {"requeued": "pending"},
    "cancelled": {"requeued": "pending"},
}
ENDS: Final = frozenset(("completed", "failed", "cancelled"))


def word(event: Event) -> str:
    """The event's type without `job.`"""
    return event.type.removeprefix("job.")


def story(events: list[Event]) -> str:
    """A job's events on one line."""
    return f"{events[0].job}: {' '.join(f'{word(e)}({e.attempt})' for e in events)}"


def positions_are_dense(evidence: Evidence) -> Iterator[str]:
    expected: dict[int, int] = {}
    for event in evidence.events:
        wanted = expected.get(event.partition, 1)
        if event.position != wanted:
            yield f"partition {event.partition} holds {event.position} where {wanted} should be"
        expected[event.partition] = event.position + 1


def times_never_go_back(evidence: Evidence) -> Iterator[str]:
    last: dict[int, int] = {}
    for event in evidence.events:
        back = last.get(event.partition, 0) - event.at
        if back > 0:
            yield f"position {event.position} of partition {event.partition} is {back} us early"
        last[event.partition] = event.at


def states(events: list[Event]) -> Iterator[tuple[Event, str, str]]:
    """Each event with the state before and after it; `?` after one that is not allowed."""
    state, before = "", ""
    for event in events:
        name = word(event)
        if name == "submitted" and state == "":
            after = "scheduled" if getattr(event.data, "due", 0) else "pending"
        elif isinstance(event.data, Failed) and state in _unstarted(event.data.reason, before):
            after = "failed"
        else:
            after = AFTER.get(state, {}).get(name, "?")
        yield event, state, after
        state, before = after, name


def _unstarted(reason: str, before: str) -> tuple[str, ...]:
    """The states besides processing in which a job may fail for a reason."""
    if reason == "died" and before == "lease_lost":
        return ("pending",)
    return ("scheduled", "pending") if reason == "expired" else ()


def only_allowed_transitions(evidence: Evidence) -> Iterator[str]:
    for events in evidence.jobs.values():
        for number, (event, state, after) in enumerate(states(events), start=1):
            if event.version != number:
                yield f"version {event.version} where {number} should be: {story(events)}"
                break
            if after == "?":
                yield f"{word(event)} of a job that is {state or 'not there'}: {story(events)}"
                break


def attempts_count_the_starts(evidence: Evidence) -> Iterator[str]:
    for events in evidence.jobs.values():
        attempt = 0
        for event in events:
            attempt += event.type == "job.started"
            if event.attempt != attempt:
                yield (
                    f"attempt {event.attempt} at {word(event)} after {attempt} starts: "
                    f"{story(events)}"
                )
                break


def one_end_per_life(evidence: Evidence) -> Iterator[str]:
    for events in evidence.jobs.values():
        ended = False
        for event in events:
            if word(event) == "requeued":
                ended = False
            elif ended:
                yield f"{word(event)} after the end: {story(events)}"
                break
            elif word(event) in ENDS:
                ended = True


def every_job_ended(evidence: Evidence) -> Iterator[str]:
    for events in evidence.jobs.values():
        if word(events[-1]) not in ENDS:
            yield f"it stands still: {story(events)}"
