"""Owns the rules of what was asked for: accepted is a job, refused is none. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from soak.evidence import Evidence
from soak.kinds import KINDS
from soak.rules.lives import ENDS, story, word
from triton.events.types import Failed, Submitted


def accepted_have_jobs(evidence: Evidence) -> Iterator[str]:
    for asked in evidence.asked:
        if asked.answer == "accepted" and asked.job not in evidence.jobs:
            yield f"{asked.job} ({asked.kind}) was accepted, and the log does not know it"


def refused_have_none(evidence: Evidence) -> Iterator[str]:
    for job, asked in evidence.asked_of.items():
        if all(each.answer == "refused" for each in asked) and job in evidence.jobs:
            yield f"it was refused: {story(evidence.jobs[job])}"


def no_strangers(evidence: Evidence) -> Iterator[str]:
    for job, events in evidence.jobs.items():
        if job not in evidence.asked_of and not events[0].causation:
            yield f"nobody asked for it, and it follows from nothing: {story(events)}"


def unique_jobs_live_alone(evidence: Evidence) -> Iterator[str]:
    """While a job that others return to, or are rejected for, holds a unique key, there is no second one."""
    holder: dict[str, str] = {}
    keys: dict[str, str] = {}
    for event in evidence.events:
        if isinstance(event.data, Submitted) and event.data.unique:
            kinds = {asked.kind for asked in evidence.asked_of.get(event.job, ())}
            if "unique_replace" in kinds:
                continue
            key = event.data.unique
            if key in holder:
                yield f"{event.job} came while {holder[key]} held its key: {story(evidence.jobs[event.job])}"
            holder[key], keys[event.job] = event.job, key
        elif word(event) in ENDS and holder.get(keys.get(event.job, "")) == event.job:
            del holder[keys[event.job]]


def end_as_they_may(evidence: Evidence) -> Iterator[str]:
    cancelled = {wish.job for wish in evidence.wishes if wish.what == "cancel"}
    for job, asked in evidence.asked_of.items():
        events = evidence.jobs.get(job)
        if not events:
            continue
        kind, last = KINDS[asked[0].kind], events[-1]
        end = word(last)
        reason = last.data.reason if isinstance(last.data, Failed) else ""
        if end == "cancelled" and job in cancelled:
            continue
        if end == "failed" and reason == "died":
            continue
        if end not in kind.ends or (end == "failed" and reason != kind.reason):
            said = f" ({reason}: {last.data.error})" if isinstance(last.data, Failed) else ""
            yield f"a {asked[0].kind} job ended as {end}{said}: {story(events)}"
