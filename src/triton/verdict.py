"""Owns what the log's answer to a submission means: the job it is now, or why there is none. Pure."""

from __future__ import annotations

from typing import NamedTuple

from triton.errors import (
    IdempotencyError,
    NotUniqueError,
    QueueClosedError,
    TritonError,
    ValidationError,
)
from triton.events.submission import Submission


class Verdict(NamedTuple):
    """The job that a submission became, and whether it was there before."""

    job: str
    existing: bool


def verdict_of(submission: Submission, answer: str) -> Verdict:
    """Raises NotUniqueError, IdempotencyError, QueueClosedError, ValidationError for a past time."""
    word, _, holder = answer.partition(" ")
    match word:
        case "ok":
            return Verdict(submission.job, existing=False)
        case "exists":
            return Verdict(submission.job, existing=True)
        case "held":
            return Verdict(holder, existing=True)
    raise _refusal(submission, word, holder)


def _refusal(submission: Submission, word: str, holder: str) -> TritonError:
    job = submission.job
    match word:
        case "taken":
            return NotUniqueError(
                f"job {holder} of actor {submission.actor} has the same unique key, and the new one was "
                "to be rejected then: wait for its end, or submit with conflict `return` or `replace`",
                job=holder,
            )
        case "differs":
            return IdempotencyError(
                f"the idempotency key belongs to job {job}, which was submitted with another actor or other "
                "arguments: use a new key for a new call",
                job=job,
            )
        case "closed":
            return QueueClosedError(
                f"queue {submission.queue} drains and takes no new jobs: submit to another, or open it with "
                f"`triton queues resume {submission.queue}`",
                queue=submission.queue,
            )
        case "past":
            return ValidationError(
                "run_at is past, expected a time to come; without `run_at` the job runs at once",
                fields=[{"field": "run_at", "message": "expected a time to come"}],
            )
        case _:
            return TritonError(f"the log answered {word!r} to a submission: upgrade Triton")
