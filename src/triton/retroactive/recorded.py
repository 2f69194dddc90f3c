"""Owns what the history holds of past jobs: the input of each, and how its last attempt went. Pure.

Two passes over the same entries: the first finds the jobs, the second what belongs to them, also messages
that they sent into other partitions. So only the chosen jobs are in memory.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, cast

import msgspec

from triton.events.entries import Entry
from triton.events.envelope import Event
from triton.events.types import (
    TERMINAL,
    Completed,
    Failed,
    Output,
    Progressed,
    StepCompleted,
    Submitted,
)
from triton.retroactive.account import MAX_MESSAGE, Account, Recorded, Sent, Task
from triton.retroactive.choosing import Choice

_TYPE: Final = 1
_JOB: Final = 3
_CAUSE: Final = 13
_ENDS: Final = frozenset(name.encode() for name in TERMINAL)


class Finding:
    """The first pass: the newest `limit` jobs that are chosen and have ended."""

    def __init__(self, choice: Choice, limit: int) -> None:
        self._choice = choice
        self._limit = limit
        self._open: set[bytes] = set()
        self._ended: dict[bytes, int] = {}
        #: Chosen jobs that cannot be compared, by why.
        self.skipped: Counter[str] = Counter()

    def take(self, entry: Entry) -> None:
        kind, job = entry.fields[_TYPE], entry.fields[_JOB]
        if kind == b"job.submitted":
            event = entry.event()
            if self._choice.takes(
                job=event.job,
                queue=event.queue,
                tenant=event.tenant,
                actor=cast("Submitted", event.data).actor,
                at=event.at,
            ):
                self._open.add(job)
        elif kind == b"job.requeued":
            if self._ended.pop(job, None) is not None:
                self._open.add(job)
        elif kind in _ENDS and job in self._open:
            self._open.discard(job)
            self._end(job, entry.event())

    def jobs(self) -> list[str]:
        """Oldest end first."""
        self.skipped["has not ended"] += len(self._open)
        self._open.clear()
        newest = sorted(self._ended, key=self._ended.__getitem__)[-self._limit :]
        return [job.decode() for job in newest]

    def _end(self, job: bytes, event: Event) -> None:
        state = event.type.removeprefix("job.")
        if state == "cancelled":
            self.skipped["was cancelled"] += 1
        elif event.attempt == 0:
            self.skipped["never ran"] += 1
        elif state in self._choice.status:
            self._ended[job] = event.at


class Gathering:
    """The second pass: what belongs to the jobs that were found."""

    def __init__(self, jobs: list[str]) -> None:
        self._stories = {job.encode(): _Story() for job in jobs}

    def take(self, entry: Entry) -> None:
        fields = entry.fields
        story = self._stories.get(fields[_JOB])
        if story is not None:
            story.take(entry.event())
        cause = fields[_CAUSE]
        if cause and fields[_TYPE] == b"job.submitted":
            parent = self._stories.get(cause.removeprefix(b"job:"))
            if parent is not None:
                parent.child(entry.event())

    def recorded(self) -> list[Recorded]:
        return [
            found for story in self._stories.values() if (found := story.recorded()) is not None
        ]


class _Story:
    """One job, event by event."""

    def __init__(self) -> None:
        self._first: Event | None = None
        self._steps: dict[str, Any] = {}
        self._children: list[tuple[int, Sent]] = []
        self._begin()

    def _begin(self) -> None:
        self._since = 0
        self._output: list[str] = []
        self._progress: tuple[float, str] | None = None
        self._last: Event | None = None

    def take(self, event: Event) -> None:
        match event.data:
            case Submitted():
                self._first = event
            case StepCompleted(name=name, result=result):
                self._steps[name] = result
            case Output(chunk=chunk):
                self._output.append(chunk)
            case Progressed(percent=percent, stage=stage):
                self._progress = (percent, stage)
            case Completed() | Failed():
                self._last = event
            case _:
                if event.type == "job.started":
                    self._begin()
                    self._since = event.at
                elif event.type == "job.requeued":
                    # The steps of the life before are gone too.
                    self._steps = {}

    def child(self, event: Event) -> None:
        data = cast("Submitted", event.data)
        sent = Sent(
            actor=data.actor,
            queue=event.queue,
            delayed=data.due > 0,
            job=event.job,
            body=data.body,
        )
        self._children.append((event.at, sent))

    def recorded(self) -> Recorded | None:
        first, last = self._first, self._last
        if first is None or last is None:
            return None
        sent = [message for at, message in self._children if at >= self._since]
        return Recorded(
            task=Task(
                job=first.job,
                attempt=last.attempt,
                queue=first.queue,
                tenant=first.tenant,
                causation=first.causation,
                correlation=first.correlation,
                traceparent=first.traceparent,
                body=cast("Submitted", first.data).body,
                steps=self._steps,
            ),
            account=self._account(last, sent),
        )

    def _account(self, last: Event, sent: list[Sent]) -> Account:
        seconds = (last.at - self._since) / 1_000_000
        made = Account(
            state=last.type.removeprefix("job."),
            sent=sent,
            steps=self._steps,
            chunks=tuple(self._output),
            progress=self._progress,
            seconds=seconds,
        )
        if isinstance(last.data, Completed):
            return msgspec.structs.replace(
                made, result=last.data.result, omitted=bool(last.data.omitted)
            )
        error = cast("Failed", last.data).error
        return msgspec.structs.replace(made, error=error.type, message=error.message[:MAX_MESSAGE])
