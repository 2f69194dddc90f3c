"""Owns what Redis must hold for each job that the log knows: the fold of its events, and the keys that
follow.

Pure: entries come in, values go out. The names of the head's fields are those of `events/lua`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec

from triton.errors import DecodeError
from triton.events.entries import Entry
from triton.events.envelope import Event
from triton.events.heads import Born, pack_born
from triton.events.types import (
    Cancelled,
    Completed,
    Due,
    Failed,
    Output,
    Progressed,
    QueueDrained,
    QueuePaused,
    QueueResumed,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
)
from triton.job import TERMINAL, Head, evolve
from triton.restore.messages import fresh, retried

#: A step of priority weighs as much as so many positions; see `order_of` in lua/prelude.lua.
_PRIORITY: Final = 1_000_000
_JOB: Final = 3
_DATA: Final = 25
_pack: Final = msgspec.msgpack.Encoder().encode
#: Events between two looks for jobs that ended too long ago.
_SWEEP: Final = 100_000


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


class Jobs:
    """The jobs of one partition. Times to live in milliseconds, as the settings have them. `expired`: whether
    the log's beginning is gone, and with it that of jobs that had ended."""

    def __init__(
        self,
        *,
        completed_ttl: int,
        result_ttl: int,
        failed_ttl: int,
        now: int,
        expired: bool = False,
    ) -> None:
        self._expired = expired
        self._completed_ttl = completed_ttl
        self._result_ttl = result_ttl
        self._failed_ttl = failed_ttl
        self._now = now
        self._lives: dict[str, Life] = {}
        self._events = 0
        #: The names of all queues, and those that are held: `paused` or `draining`, by, reason, time.
        self.queues: set[str] = set()
        self.held: dict[str, tuple[str, str, str, int]] = {}
        self.at = 0
        #: Positions that cannot be read, or do not follow.
        self.unreadable: list[int] = []

    def take(self, entry: Entry) -> None:
        """The next event of the partition."""
        try:
            event = entry.event()
            self.at = event.at
            if event.job:
                self._take(event, bytes(entry.fields[_DATA]))
            else:
                self._administrative(event)
        except (DecodeError, ValueError, OverflowError, RecursionError):
            self.unreadable.append(entry.position)
            self._lives.pop(entry.fields[_JOB].decode(errors="replace"), None)
        self._events += 1
        if self._events % _SWEEP == 0:
            # As things were then. Failed and cancelled jobs may be sent round again at any time.
            self._forget(self.at, ends=("completed",))

    def kept(self, first: int) -> Iterator[Kept]:
        """What Redis must hold beside a log that begins at a position; in the order of submission."""
        self._forget(self._now, first, ends=TERMINAL)
        for life in self._lives.values():
            yield self._kept(life, first)

    def count(self) -> dict[str, int]:
        """How many jobs are in each state."""
        counts: dict[str, int] = {}
        for life in self._lives.values():
            counts[life.head.state] = counts.get(life.head.state, 0) + 1
        return counts

    def _take(self, event: Event, raw: bytes) -> None:  # noqa: C901
        data = event.data
        self.queues.add(event.queue)
        if isinstance(data, Submitted):
            # Its id may have been another job's, whose head was forgotten.
            self._lives.pop(event.job, None)
            self._lives[event.job] = Life(
                head=evolve(None, event),
                submitted=data,
                born_at=event.position,
                body=data.body,
                ready_at=event.position,
            )
            return
        life = self._lives.get(event.job)
        if life is None and self._expired:
            return
        if life is None:
            raise ValueError("an event of a job that is not known")
        life.head = evolve(life.head, event)
        match data:
            case Started():
                life.reports = 0
            case Progressed() | Output():
                life.reports += 1
            case StepCompleted(name=name):
                life.reports += 1
                life.steps[name] = raw
            case RetryScheduled():
                life.closed, life.outcome = event.attempt, raw
                life.body = retried(life.body, data)
            case Snoozed() | Released():
                life.closed = event.attempt
            case Due():
                life.ready_at = event.position
            case Completed() | Failed():
                life.closed, life.outcome, life.steps = event.attempt, raw, {}
            case Cancelled():
                life.steps = {}
            case Requeued():
                life.ready_at, life.outcome = event.position, b""
                life.body = fresh(life.body)
            case _:
                pass

    def _administrative(self, event: Event) -> None:
        match event.data:
            case QueuePaused(queue=queue, reason=reason):
                self.held[queue] = ("paused", event.by, reason, event.at)
            case QueueDrained(queue=queue, reason=reason):
                self.held[queue] = ("draining", event.by, reason, event.at)
            case QueueResumed(queue=queue):
                self.held.pop(queue, None)
            case _:
                pass

    def _forget(self, now: int, first: int = 0, *, ends: Collection[str]) -> None:
        """Drop ended jobs whose heads were gone at a time."""
        gone = [
            job
            for job, life in self._lives.items()
            if life.head.state in ends and self._ttl(life, now, first) <= 0
        ]
        for job in gone:
            del self._lives[job]

    def _ttl(self, life: Life, now: int, first: int) -> int:
        """Milliseconds that an ended job's head has left at a time."""
        own = self._completed_ttl if life.head.state == "completed" else self._failed_ttl
        if life.head.position < first:
            own = min(own, self._result_ttl)  # its last event has left the log
        return max(own, life.submitted.keep) - (now - life.head.finished) // 1000

    def _kept(self, life: Life, first: int) -> Kept:
        head = life.head
        # A message is stored once: in its submission, or beside the head.
        own_body = life.born_at < first or life.body != life.submitted.body
        ended = head.state in TERMINAL
        unique, unique_ttl = self._unique(life)
        waits_to_start = head.attempt == 0 and not ended
        return Kept(
            job=head.job,
            state=head.state,
            queue=head.queue,
            head=_fields(life, own_body=own_body),
            ttl=self._ttl(life, self._now, first) if ended else 0,
            body=life.body if own_body and head.state != "completed" else b"",
            steps={} if ended else life.steps,
            score=self._score(life),
            expires=head.expires if waits_to_start else 0,
            unique=unique,
            unique_ttl=unique_ttl,
        )

    def _score(self, life: Life) -> int:
        match life.head.state:
            case "pending":
                return _order(life)
            case "scheduled":
                return life.head.due
            case _:
                # Whoever runs it may still say so before the next claim takes it back.
                return self._now

    def _unique(self, life: Life) -> tuple[str, int]:
        """The unique key that the job holds, and the milliseconds left of it."""
        digest, window = life.submitted.unique, life.submitted.window
        if not digest or life.head.state in ("failed", "cancelled"):
            return "", 0
        if not window:
            return ("", 0) if life.head.state == "completed" else (digest, 0)
        left = window - (self._now - life.head.submitted) // 1000
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
