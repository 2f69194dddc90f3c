"""Owns what Redis must hold for a job: the keys that follow from its life in the log. Pure.

The names of the head's fields are those of `events/lua`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from triton.events.heads import Born, pack_born
from triton.events.types import Submitted
from triton.job import TERMINAL, Head

#: A step of priority weighs as much as so many positions; see `order_of` in lua/prelude.lua.
_PRIORITY: Final = 1_000_000
_pack: Final = msgspec.msgpack.Encoder().encode


class Life(msgspec.Struct):
    """A job as the log has it so far."""

    head: Head
    submitted: Submitted
    #: Where its submission is in the log.
    born_at: int
    body: bytes
    #: The position at which it became ready last.
    ready_at: int
    steps: dict[str, bytes] = {}
    #: Reports of the present attempt.
    reports: int = 0
    #: The attempt that ended last; 0 for none.
    closed: int = 0
    #: Data of what ended the last attempt, where it says more than that.
    outcome: bytes = b""


class Kept(msgspec.Struct, frozen=True):
    """What a job's keys hold. `ttl` is in milliseconds from now, 0 for ever; `score` of its queue entry."""

    job: str
    state: str
    queue: str
    head: Mapping[str, Any]
    ttl: int
    body: bytes
    steps: Mapping[str, bytes]
    #: Of the sorted set of its state.
    score: int
    #: Microseconds since 1970 at which it expires; 0 for never.
    expires: int
    #: Its unique key, and the milliseconds left of it (0: until the job ends); empty where it holds none.
    unique: str
    unique_ttl: int


class Stay(NamedTuple):
    """Milliseconds that the heads of ended jobs stay, as the settings have them; `result` is for those whose
    last event has left the log."""

    completed: int
    result: int
    failed: int

    def left(self, life: Life, now: int, first: int) -> int:
        """Milliseconds that an ended job's head has left at a time, beside a log that begins at `first`."""
        own = self.completed if life.head.state == "completed" else self.failed
        if life.head.position < first:
            own = min(own, self.result)
        return max(own, life.submitted.keep) - (now - life.head.finished) // 1000


def kept_of(life: Life, first: int, now: int, stay: Stay) -> Kept:
    """Of a job beside a log that begins at position `first`; `now` in microseconds since 1970."""
    head = life.head
    # A message is stored once: in its submission, or beside the head.
    own_body = life.born_at < first or life.body != life.submitted.body
    ended = head.state in TERMINAL
    unique, unique_ttl = _unique(life, now)
    waits_to_start = head.attempt == 0 and not ended
    return Kept(
        job=head.job,
        state=head.state,
        queue=head.queue,
        head=_fields(life, own_body=own_body),
        ttl=stay.left(life, now, first) if ended else 0,
        body=life.body if own_body and head.state != "completed" else b"",
        steps={} if ended else life.steps,
        score=_score(life, now),
        expires=head.expires if waits_to_start else 0,
        unique=unique,
        unique_ttl=unique_ttl,
    )


def _score(life: Life, now: int) -> int:
    match life.head.state:
        case "pending":
            return _order(life)
        case "scheduled":
            return life.head.due
        case _:
            # Whoever runs it may still say so before the next claim takes it back.
            return now


def _unique(life: Life, now: int) -> tuple[str, int]:
    """The unique key that the job holds, and the milliseconds left of it."""
    digest, window = life.submitted.unique, life.submitted.window
    if not digest or life.head.state in ("failed", "cancelled"):
        return "", 0
    if not window:
        return ("", 0) if life.head.state == "completed" else (digest, 0)
    left = window - (now - life.head.submitted) // 1000
    return (digest, left) if left > 0 else ("", 0)


def _order(life: Life) -> int:
    return life.head.priority * _PRIORITY + life.ready_at


def _attempt(head: Head) -> int:
    """The attempt of the head. A job that waits may have been claimed once more where nobody knows of it,
    by a worker that still lives: its number is left out, so that the next lease is another one. A job that
    may expire must be known as one that never started."""
    if head.state not in ("pending", "scheduled") or (head.attempt == 0 and head.expires):
        return head.attempt
    return head.attempt + 1


def _fields(life: Life, *, own_body: bool) -> dict[str, Any]:
    """The head's hash, in the order in which the scripts write it."""
    head, data = life.head, life.submitted
    terms = bool(head.expires or data.unique or data.payload or data.expires)
    born = Born(
        position=life.born_at,
        own_body=int(own_body),
        at=head.submitted,
        queue=head.queue,
        tenant=head.tenant,
        actor=head.actor,
        by=head.by,
        causation=head.causation,
        correlation=head.correlation,
        traceparent=head.traceparent,
        priority=head.priority,
        terms=int(terms),
    )
    optional: dict[str, Any] = {
        "due": head.due,
        "started": head.started,
        "finished": head.finished,
        "worker": head.worker,
        "closed": life.closed,
        "deaths": head.deaths,
        "outcome": life.outcome,
        "reason": head.reason if head.cancel_requested or head.state == "cancelled" else "",
        "cancel_by": head.cancel_by,
    }
    fields = {
        "state": head.state,
        "born": pack_born(born),
        "version": head.version,
        "attempt": _attempt(head),
        "at": head.at,
        "pos": head.position,
        "order": _order(life),
        **{name: value for name, value in optional.items() if value},
    }
    if head.cancel_requested:
        fields["cancel"] = head.reason
    if life.reports:
        fields |= {"seq": life.reports, "percent": head.percent, "stage": head.stage}
    if terms:
        fields["terms"] = _pack((head.expires, data.unique, data.keep, data.payload))
    return fields
