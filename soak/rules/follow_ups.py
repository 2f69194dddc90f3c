"""Owns the rule of what follows from outcomes: pipelines and callbacks, once each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from soak.evidence import Evidence
from soak.rules.lives import story, word


def follow_ups_come_once(evidence: Evidence) -> Iterator[str]:
    called: Counter[str] = Counter(
        events[0].causation.removeprefix("job:")
        for job, events in evidence.jobs.items()
        if events[0].causation and evidence.actor_of(job) == "succeeded"
    )
    # Between partitions what follows is sent before the outcome: it may be there without it.
    apart = evidence.partitions > 1
    for job, asked in evidence.asked_of.items():
        events = evidence.jobs.get(job)
        completed = bool(events) and word(events[-1]) == "completed" if events else False
        told = story(events) if events else f"{job}: no event"
        for then in {each.then for each in asked if each.then}:
            if completed and then not in evidence.jobs:
                yield f"the next of its pipeline, {then}, is missing: {told}"
            if not completed and then in evidence.jobs and not apart:
                yield f"the next of its pipeline, {then}, came without its success: {told}"
        if any(each.calls_back for each in asked):
            least, most = int(completed), int(completed or apart)
            if not least <= called[job] <= most:
                yield f"{called[job]} callbacks, expected {least} to {most}: {told}"
