"""Owns a small honest run, made by hand, for tests to doctor: its log, its keys, its records."""

from __future__ import annotations

from typing import Any

import msgspec
from soak.evidence import Evidence, Key
from soak.records import Asked, Note, Wish
from soak.rules.leftovers import QUEUES
from soak.rules.lives import ENDS, states

from triton import keys
from triton.events.envelope import Event
from triton.events.types import (
    Cancelled,
    Completed,
    Due,
    Error,
    EventData,
    Failed,
    LeaseLost,
    Released,
    Requeued,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
    type_of,
)

LEASE_MS = 1000
_P = keys.prefix("triton", 0)
_ERROR = Error(type="ValueError", message="no")


class Story:
    """Tells a log event by event; each takes 10 ms of the server's time unless told otherwise."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked: list[Asked] = []
        self.wishes: list[Wish] = []
        self.notes: list[Note] = []
        self.now = 1_000_000_000
        self._versions: dict[str, int] = {}
        self._attempts: dict[str, int] = {}

    def tell(self, job: str, data: EventData, *, after_ms: int = 10, causation: str = "") -> None:
        self.now += after_ms * 1000
        self._versions[job] = self._versions.get(job, 0) + 1
        self._attempts.setdefault(job, 0)
        self._attempts[job] += isinstance(data, Started)
        self.events.append(
            Event(
                partition=0,
                position=len(self.events) + 1,
                type=type_of(data),
                job=job,
                version=self._versions[job],
                attempt=self._attempts[job],
                at=self.now,
                by="worker:host-7-abc",
                causation=causation,
                correlation="",
                traceparent="",
                tenant="default",
                queue="work",
                schema=1,
                data=data,
            )
        )

    def ask(self, job: str, kind: str = "quick", **more: Any) -> None:
        self.asked.append(Asked(kind=kind, job=job, **{"answer": "accepted", **more}))

    def submit(self, job: str, kind: str = "quick", *, due: int = 0, **more: Any) -> None:
        self.ask(job, kind, **more)
        self.tell(job, Submitted(actor="quick", body=b"{}", due=due))

    def start(self, job: str) -> None:
        self.tell(job, Started(worker="host-7-abc"))
        self._note("begin", job)

    def run(self, job: str, data: EventData | None = None) -> None:
        """Start, run, end."""
        self.start(job)
        self.end(job, data)

    def end(self, job: str, data: EventData | None = None) -> None:
        self._note("end" if data is None else "raised", job)
        self.tell(job, data or Completed(result="done"))

    def step(self, job: str, name: str) -> None:
        self._note("step", job)
        self.tell(job, StepCompleted(name=name))

    def _note(self, word: Any, job: str) -> None:
        at = self.now + 1000
        self.notes.append(Note(word=word, job=job, attempt=self._attempts[job], pid=7, at=at))

    def evidence(self) -> Evidence:
        return Evidence(
            events=self.events,
            asked=self.asked,
            wishes=self.wishes,
            notes=self.notes,
            keys=self.keys(),
            lease_ms=LEASE_MS,
        )

    def keys(self) -> dict[str, Key]:
        """What a server holds after these events."""
        found = {
            f"{_P}log": Key(type="stream", ttl=-1),
            f"{_P}meta": Key(type="hash", ttl=-1, content={}),
            f"{_P}queues": Key(type="set", ttl=-1, content={b"work"}),
            f"{_P}claim:host-7-abc": Key(type="string", ttl=4 * LEASE_MS),
        }
        jobs: dict[str, list[Event]] = {}
        for event in self.events:
            jobs.setdefault(event.job, []).append(event)
        for job, events in jobs.items():
            last, _, state = list(states(events))[-1]
            ttl = 5000 if state in ENDS else -1
            head = {
                b"state": state.encode(),
                b"version": b"%d" % last.version,
                b"attempt": b"%d" % last.attempt,
                b"pos": b"%d" % last.position,
                b"queue": b"work",
            }
            found[f"{_P}job:{job}"] = Key(type="hash", ttl=ttl, content=head)
            if state != "completed":
                found[f"{_P}body:{job}"] = Key(type="string", ttl=ttl)
            for kind, of in QUEUES.items():
                if state == of:
                    before = found.get(f"{_P}{kind}:work")
                    members = [*(before.content if before else ()), (job.encode(), 1.0)]
                    found[f"{_P}{kind}:work"] = Key(type="zset", ttl=-1, content=members)
        return found


def honest() -> Story:
    """Every way through a job's life once, and nothing wrong with it."""
    story = Story()
    story.submit("plain")
    story.run("plain")
    due = story.now + 500_000
    story.submit("later", "delayed", due=due)
    story.tell("later", Due(), after_ms=600)
    story.run("later")
    story.submit("tried", "flaky")
    story.run("tried", RetryScheduled(error=_ERROR, due=story.now + 100_000))
    story.tell("tried", Due(), after_ms=200)
    story.run("tried")
    story.submit("asleep", "snoozing")
    story.run("asleep", Snoozed(due=story.now + 100_000))
    story.tell("asleep", Due(), after_ms=200)
    story.run("asleep")
    story.submit("taken", "long")
    story.start("taken")
    story.tell("taken", LeaseLost(worker="host-7-abc", deaths=1), after_ms=LEASE_MS)
    story.run("taken")
    story.submit("given", "long")
    story.tell("given", Started(worker="host-7-abc"))
    story.tell("given", Released())
    story.run("given")
    story.submit("bad", "failing")
    story.run("bad", Failed(error=_ERROR))
    story.wishes.append(Wish(what="requeue", job="bad"))
    story.tell("bad", Requeued())
    story.run("bad", Failed(error=_ERROR))
    story.submit("late", "expiring")
    story.tell("late", Failed(error=_ERROR, reason="expired"))
    story.submit("steps", "stepping")
    story.start("steps")
    story.step("steps", "one")
    story.end("steps", RetryScheduled(error=_ERROR, due=story.now + 100_000))
    story.tell("steps", Due(), after_ms=200)
    story.start("steps")
    story.step("steps", "two")
    story.end("steps")
    for job in ("alone", "alone again"):
        story.ask(job, "unique_return")
        story.tell(job, Submitted(actor="quick", body=b"{}", unique="key"))
        story.run(job)
    story.submit("stopped", "patient")
    story.wishes.append(Wish(what="cancel", job="stopped"))
    story.tell("stopped", Cancelled())
    story.submit("dead", "poison")
    story.start("dead")
    story.tell("dead", LeaseLost(worker="host-7-abc", deaths=1), after_ms=LEASE_MS)
    story.tell("dead", Failed(error=_ERROR, reason="died"), after_ms=0)
    story.submit("first", "chain", then="second")
    story.ask("second", "chain", answer="follows")
    story.run("first")
    story.tell("second", Submitted(actor="quick", body=b"{}"), causation="job:first", after_ms=0)
    story.run("second")
    story.submit("caller", "called_back", calls_back=True)
    story.run("caller")
    data = Submitted(actor="succeeded", body=b"{}")
    story.tell("called", data, causation="job:caller", after_ms=0)
    story.run("called")
    story.ask("no", answer="refused")
    story.ask("lost", answer="unknown")
    return story


def changed(story: Story, index: int, **fields: Any) -> None:
    """The event at an index is another."""
    story.events[index] = msgspec.structs.replace(story.events[index], **fields)
