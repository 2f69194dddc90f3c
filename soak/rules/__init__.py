"""Owns the list of what must hold after a run: each rule reads the evidence and says what is against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from soak.evidence import Evidence
from soak.rules import follow_ups, leftovers, lives, runs, submissions, times

Rule = Callable[[Evidence], Iterable[str]]


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and by which rule."""

    rule: str
    text: str


RULES: Final[dict[str, Rule]] = {
    "positions are dense": lives.positions_are_dense,
    "times never go back": lives.times_never_go_back,
    "only allowed transitions": lives.only_allowed_transitions,
    "attempts count the starts": lives.attempts_count_the_starts,
    "one end per life": lives.one_end_per_life,
    "every job ended": lives.every_job_ended,
    "every accepted submit has its job": submissions.accepted_have_jobs,
    "what was refused has none": submissions.refused_have_none,
    "nobody's jobs": submissions.no_strangers,
    "jobs end as their kind may": submissions.end_as_they_may,
    "follow-ups come once": follow_ups.follow_ups_come_once,
    "due times are respected": times.due_times_are_respected,
    "no lease is taken early": times.no_lease_is_taken_early,
    "one run per lease": runs.one_run_per_lease,
    "recorded steps do not run again": runs.recorded_steps_do_not_run_again,
    "unique jobs live alone": submissions.unique_jobs_live_alone,
    "no outcome without its run": runs.outcomes_have_runs,
    "leases do not overlap": runs.leases_do_not_overlap,
    "no key without an owner": leftovers.no_key_without_owner,
    "heads equal the fold": leftovers.heads_equal_the_fold,
}


def check(evidence: Evidence) -> list[Objection]:
    """Every objection of every rule."""
    return [
        Objection(rule=name, text=text) for name, rule in RULES.items() for text in rule(evidence)
    ]
