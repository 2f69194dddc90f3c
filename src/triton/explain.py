"""Owns why a job is where it is, in plain words: facts in, sentences out. Pure.

The facts come from the job's head, its queue and its history; who gathers them is `triton.api.explaining`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from triton.causes import (
    Happened,
    because,
    caller,
    cause,
    count,
    error_text,
    failure,
    moment,
    span,
    when,
)
from triton.events.render import rfc3339
from triton.facts import Facts

_LIFE_BEGINS: Final = frozenset({"job.submitted", "job.requeued"})


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to the job. `at` is RFC 3339, `position` the log's."""

    at: str
    position: int
    text: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why the job is where it is: `summary`, the events that led there, and what comes `next`. `limits` says
    what its tenant may use, where that is limited."""

    job: str
    state: str
    summary: str
    because: list[Cause]
    next: str
    limits: list[str] = []


def explain(facts: Facts) -> Explanation:
    summary, following = _BY_STATE.get(facts.state, _unknown)(facts)
    return Explanation(
        job=facts.job,
        state=facts.state,
        summary=" ".join(part for part in summary if part),
        because=[
            Cause(at=rfc3339(event.at) or "", position=event.position, text=cause(event))
            for event in facts.events
        ],
        next=" ".join(part for part in following if part),
    )


_Sentences = tuple[list[str], list[str]]


def _scheduled(facts: Facts) -> _Sentences:
    why = _last(facts, "job.submitted", "job.retry_scheduled", "job.snoozed", "job.requeued")
    if why is not None and why.type == "job.retry_scheduled":
        said = (
            f"Attempt {why.attempt} failed ({error_text(why.data.get('error'))}), so it runs again"
        )
        if retries := why.data.get("retries"):
            said += f": this is retry {retries}"
    elif why is not None and why.type == "job.snoozed":
        said = f"Attempt {why.attempt} asked to be run again later{because(why.data)}"
    else:
        said = "It was submitted to start later"
    late = facts.now - facts.due
    if late < 0:
        return (
            [
                f"It waits for its time, {when(facts.due)} (in {span(-late)}).",
                f"{said}.",
                _expiry(facts),
            ],
            [f"At that time it takes its place in queue {facts.queue.name}.", *_obstacles(facts)],
        )
    return (
        [
            f"It was due at {when(facts.due)}, {span(late)} ago, and no worker has looked since.",
            f"{said}.",
        ],
        _obstacles(facts)
        or [f"The next worker that asks for jobs of {facts.queue.name} takes it."],
    )


def _pending(facts: Facts) -> _Sentences:
    queue = facts.queue
    why = _last(facts, *_BACK)
    since = f" since {when(why.at)} ({span(facts.now - why.at)})" if why else ""
    summary = [f"It waits for a worker in queue {queue.name}{since}."]
    if queue.ahead is not None:
        verb = "is" if queue.ahead == 1 else "are"
        before = f"{count(queue.ahead, 'job')} {verb}" if queue.ahead else "Nothing is"
        summary.append(
            f"{before} before it; {_many(queue.waiting, 'wait')} there, "
            f"{_many(queue.running, 'run')} now."
        )
    obstacles = _obstacles(facts)
    summary += obstacles
    if why is not None and why.type not in ("job.submitted", "job.due"):
        summary.append(cause(why))
    elif facts.error:
        summary.append(f"Its last attempt failed: {error_text(facts.error)}.")
    if queue.paused is not None:
        following = [f"`triton queues resume {queue.name}` lets workers take it."]
    elif not facts.declared:
        following = [
            f"Start a worker that has the actor {facts.actor}, or cancel this job and submit it under the "
            "right name."
        ]
    elif queue.workers == 0:
        following = [f"Start a worker that has an actor with queue {queue.name}."]
    else:
        following = [
            "The next free worker starts it."
            if not queue.ahead
            else f"It starts when those before it have started, as attempt {facts.attempt + 1}."
        ]
    return [*summary, _expiry(facts)], following


def _many(number: int, verb: str) -> str:
    """`1 waits`, `2 wait`."""
    return f"{number} {verb}s" if number == 1 else f"{number} {verb}"


def _processing(facts: Facts) -> _Sentences:
    where = f"at {facts.percent:.0f} %" + (f", {facts.stage}" if facts.stage else "")
    summary = [
        f"Worker {facts.worker} runs its attempt {facts.attempt} since {when(facts.started)} "
        f"({span(facts.now - facts.started)}), {where}.",
        _reruns(facts),
    ]
    following = ["It ends with what its actor returns or raises."]
    if facts.cancel_requested:
        asked = _last(facts, "job.cancel_requested")
        by = caller(asked.by) if asked else "Somebody"
        summary.append(f"{by} asked it to stop{because({'reason': facts.reason})}.")
        following = [
            "Its worker hears of it with the next heartbeat, and the actor is interrupted."
        ]
    if facts.lease_until and facts.now > facts.lease_until:
        summary.append(
            f"Its worker has not been heard of: the lease ended {span(facts.now - facts.lease_until)} ago."
        )
        following = ["The next worker that asks for jobs gives it back to the queue, or ends it."]
    return summary, following


def _completed(facts: Facts) -> _Sentences:
    took = f" after {span(facts.finished - facts.started)}" if facts.started else ""
    ended = f"Its attempt {facts.attempt} completed at {when(facts.finished)}{took}."
    return [ended, _reruns(facts)], ["Nothing: it has ended for good."]


def _failed(facts: Facts) -> _Sentences:
    said = failure(facts.reason, facts.error)
    summary = [f"It failed at {when(facts.finished)}: {said}.", _reruns(facts)]
    return summary, [_again(facts)]


def _cancelled(facts: Facts) -> _Sentences:
    asked = _last(facts, "job.cancel_requested") or _last(facts, "job.cancelled")
    by = caller(asked.by) if asked else "Somebody"
    said = (because(asked.data) if asked else "") or because({"reason": facts.reason})
    while_running = asked is not None and asked.type == "job.cancel_requested"
    how = " while it ran" if while_running else " before it was done"
    return [f"{by} cancelled it{how}, at {when(facts.finished)}{said}."], [_again(facts)]


def _unknown(facts: Facts) -> _Sentences:
    return [f"It is {facts.state}."], []


_BY_STATE: Final[dict[str, Callable[[Facts], _Sentences]]] = {
    "scheduled": _scheduled,
    "pending": _pending,
    "processing": _processing,
    "completed": _completed,
    "failed": _failed,
    "cancelled": _cancelled,
}
#: What brings a job into its queue.
_BACK: Final = ("job.submitted", "job.due", "job.released", "job.lease_lost", "job.requeued")


def _again(facts: Facts) -> str:
    if facts.has_message:
        return f"Nothing by itself. `triton jobs requeue {facts.job}` sends it round again."
    return "Nothing: its message is gone, so it cannot be requeued. Submit it anew."


def _obstacles(facts: Facts) -> list[str]:
    """What keeps the job from starting, whatever is before it."""
    queue = facts.queue
    found = []
    if queue.paused is not None:
        since = f" since {when(queue.paused.at)}" if queue.paused.at else ""
        said = because({"reason": queue.paused.reason})
        by = caller(queue.paused.by, "an application")
        found.append(f"The queue is paused by {by}{since}{said}.")
    if not facts.declared:
        found.append(f"No worker has ever said that it has an actor {facts.actor}.")
    if queue.workers == 0:
        found.append(f"No worker is known to listen to queue {queue.name}.")
    return found


def _expiry(facts: Facts) -> str:
    """Until when a job with a time to live must have started; a requeued one has none."""
    submitted = _last(facts, "job.submitted")
    expires = submitted.data.get("expires") if submitted and not facts.attempt else None
    return f"It fails if it has not started by {moment(expires)}." if expires else ""


def _reruns(facts: Facts) -> str:
    """Why this is not the first attempt of this life."""
    ended = [event for event in _life(facts) if event.type in _ATTEMPT_ENDS]
    if not ended:
        return ""
    told = [_ATTEMPT_ENDS[event.type](event) for event in ended[-3:]]
    more = f"{len(ended) - 3} earlier attempts; " if len(ended) > 3 else ""
    return f"Before that: {more}{'; '.join(told)}."


_ATTEMPT_ENDS: Final[dict[str, Callable[[Happened], str]]] = {
    "job.retry_scheduled": lambda e: (
        f"attempt {e.attempt} failed ({error_text(e.data.get('error'))})"
    ),
    "job.lease_lost": lambda e: (
        f"attempt {e.attempt} lost its lease (worker {e.data.get('worker')} died)"
    ),
    "job.released": lambda e: f"attempt {e.attempt} was given back{because(e.data)}",
    "job.snoozed": lambda e: f"attempt {e.attempt} asked to be run later{because(e.data)}",
}


def _life(facts: Facts) -> Sequence[Happened]:
    """The events since the job was submitted, or last requeued."""
    begins = [at for at, event in enumerate(facts.events) if event.type in _LIFE_BEGINS]
    return facts.events[begins[-1] :] if begins else facts.events


def _last(facts: Facts, *types: str) -> Happened | None:
    """The newest event of this life of one of these types."""
    return next((event for event in reversed(_life(facts)) if event.type in types), None)
