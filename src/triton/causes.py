"""Owns what happened to a job as sentences: one event, one sentence; and the words for who, when, how long.

Pure. Types that came later than this module are told by their name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from triton.events.envelope import to_datetime

#: Event types that explain nothing: what a job says of itself while it runs.
TALK: Final = frozenset({"job.progressed", "job.output", "job.step_completed"})


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the job; `data` as clients see it (`triton.events.render`)."""

    type: str
    #: Microseconds since 1970.
    at: int
    position: int
    version: int
    attempt: int
    by: str
    causation: str = ""
    data: dict[str, Any] = {}


#: Who caused an event, where no worker, user or key did.
_UNNAMED: Final = ("", "system")
#: Reason of a failed job -> what it says, with `{error}`.
_FAILED: Final = {
    "error": "its last attempt raised {error}, and no retry was left or wanted",
    "time_limit": "it ran for longer than its time limit ({error})",
    "died": "its workers died, more often than a job may ({error})",
    "rejected": "it could not be run ({error})",
    "expired": "it was not started in time ({error})",
    "erased": "its data subject was erased, and its arguments cannot be read any more",
}


def cause(event: Happened) -> str:
    """One event as a sentence."""
    say = _CAUSES.get(event.type)
    return say(event) if say else f"{event.type} by {who(event.by)}{because(event.data)}."


def _submitted(event: Happened) -> str:
    due = event.data.get("due")
    later = f", to start at {moment(due)}" if due else ""
    parent = f", because of {event.causation}" if event.causation else ""
    return f"{caller(event.by)} submitted it{later}{parent}."


def _retry(event: Happened) -> str:
    number = f"Retry {event.data['retries']}" if event.data.get("retries") else "A retry"
    return (
        f"Attempt {event.attempt} failed: {error_text(event.data.get('error'))}. "
        f"{number} was set for {moment(event.data.get('due'))}."
    )


_CAUSES: Final[dict[str, Callable[[Happened], str]]] = {
    "job.submitted": _submitted,
    "job.due": lambda _: "Its time came, and it took its place in the queue.",
    "job.started": lambda e: f"Attempt {e.attempt} began on worker {e.data.get('worker')}.",
    "job.retry_scheduled": _retry,
    "job.snoozed": lambda e: (
        f"Attempt {e.attempt} asked to be run again at {moment(e.data.get('due'))}{because(e.data)}."
    ),
    "job.released": lambda e: f"{who(e.by)} gave it back unfinished{because(e.data)}.",
    "job.lease_lost": lambda e: (
        f"Worker {e.data.get('worker')} is gone: attempt {e.attempt} lost its lease, "
        f"the {_ordinal(e.data.get('deaths'))} of this job."
    ),
    "job.cancel_requested": lambda e: f"{caller(e.by)} asked it to stop{because(e.data)}.",
    "job.completed": lambda e: f"Attempt {e.attempt} completed.",
    "job.failed": lambda e: (
        f"It failed: {failure(str(e.data.get('reason') or 'error'), e.data.get('error'))}."
    ),
    "job.cancelled": lambda e: f"It was cancelled{_by(e.by)}{because(e.data)}.",
    "job.requeued": lambda e: f"{caller(e.by)} sent it round again{because(e.data)}.",
}


def failure(reason: str, error: Any) -> str:
    """Why a job failed, as the second half of a sentence."""
    known = _FAILED.get(reason)
    said = error_text(error)
    return known.format(error=said) if known else f"{reason}: {said}"


def who(by: str) -> str:
    """Who caused an event, as a sentence names them."""
    kind, _, name = by.partition(":")
    if kind == "worker" and name:
        return f"Worker {name}"
    return "Triton" if by in _UNNAMED else by


def caller(by: str, unnamed: str = "An application") -> str:
    """Who asked for something. Triton itself asks for nothing: who names nobody is a program that sends by
    the broker."""
    return unnamed if by in _UNNAMED else who(by)


def _by(by: str) -> str:
    """Who ended a waiting job; or nothing, where Triton ended one that was asked to stop, too."""
    return "" if by in _UNNAMED else f" by {who(by)}"


def when(at: int) -> str:
    """`2026-01-31 12:00:00 UTC` of microseconds since 1970."""
    return to_datetime(at).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "an unknown time"


def span(microseconds: int) -> str:
    """A duration as people say it: `300 ms`, `4.2 s`, `3 min`, `2 h 10 min`, `5 days`."""
    seconds = max(0, microseconds) / 1_000_000
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} days"


def moment(time: Any) -> str:
    """An RFC 3339 time as `when` shows one; `once` for none."""
    return f"{time[:10]} {time[11:19]} UTC" if isinstance(time, str) and len(time) > 19 else "once"


def error_text(error: Any) -> str:
    """`Type: message` of an error as views hold it, on one line of at most 300 characters."""
    if not isinstance(error, dict):
        return "no error was recorded"
    said = ": ".join(str(part) for part in (error.get("type"), error.get("message")) if part)
    line = " ".join(said.split())
    return (line if len(line) <= 300 else line[:299] + "…") or "no error was recorded"


def because(data: dict[str, Any]) -> str:
    """`: REASON` of the data of an event; empty for none."""
    reason = str(data.get("reason") or "").strip().rstrip(".")
    return f": {' '.join(reason.split())}" if reason else ""


def count(number: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _ordinal(number: Any) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
