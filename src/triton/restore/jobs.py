"""Owns the fold of a log's entries to the lives of its jobs, and to which queues are held. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from triton.errors import DecodeError
from triton.events.entries import Entry
from triton.events.envelope import Event
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
from triton.job import TERMINAL, evolve
from triton.restore.kept import Kept, Life, Stay, kept_of
from triton.restore.messages import fresh, retried

_JOB: Final = 3
_DATA: Final = 25
#: Events between two looks for jobs that ended too long ago.
_SWEEP: Final = 100_000


class Jobs:
    """The jobs of one partition; `now` in microseconds since 1970. `expired`: whether the log's beginning is
    gone, and with it that of jobs that had ended."""

    def __init__(self, stay: Stay, *, now: int, expired: bool = False) -> None:
        self._stay = stay
        self._expired = expired
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
            yield kept_of(life, first, self._now, self._stay)

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
            if life.head.state in ends and self._stay.left(life, now, first) <= 0
        ]
        for job in gone:
            del self._lives[job]
