"""Owns the model of one partition: the pure machine, with a dictionary where the scripts have a key.

Every method is one script: it takes plain values and answers what the script must answer. What follows
from a command is always asked of `decide`, and what a head is then always of `evolve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from triton import keys
from triton.events.envelope import Event
from triton.events.submission import Submission
from triton.events.types import (
    SCHEMA,
    AdministrativeData,
    Cancelled,
    Completed,
    EventData,
    QueueDrained,
    QueuePaused,
    QueueResumed,
    RetryScheduled,
    Snoozed,
    Started,
    StepCompleted,
    Submitted,
    type_of,
)
from triton.job import (
    TERMINAL,
    Cancel,
    Claim,
    Command,
    Expire,
    Finish,
    Head,
    LoseLease,
    Promote,
    Release,
    Replace,
    Report,
    Requeue,
    Submit,
    author,
    decide,
    evolve,
)

#: A step of priority weighs as much as this many positions.
STEP = 1_000_000
COMPLETED_TTL_MS = 86_400_000
FAILED_TTL_MS = 7 * COMPLETED_TTL_MS
LEASE_MS = 60_000
MAX_DEATHS = 2
#: How far ahead of a clock that went back a lease may reach, in microseconds.
FAR = 60_000_000


class Sent(NamedTuple):
    """One submission before it is packed; times in microseconds."""

    job: str
    queue: str
    body: bytes
    priority: int = 0
    due: int = 0
    delay: int = 0
    tenant: str = "t"
    by: str = "user:ann"
    causation: str = ""
    correlation: str = ""
    traceparent: str = ""
    ttl: int = 0
    unique: str = ""
    window_ms: int = 0
    conflict: str = "return"
    payload: str = ""
    keep_ms: int = 0

    def data(self, due: int, expires: int = 0) -> Submitted:
        return Submitted(
            actor="act",
            body=self.body,
            priority=self.priority,
            due=due,
            expires=expires,
            unique=self.unique,
        )

    def submission(self, encoded: bytes) -> Submission:
        return Submission(actor="act", data=encoded, **self._asdict())


class Outcome(NamedTuple):
    job: str
    attempt: int
    by: str
    data: Any
    delay: int = 0
    body: bytes = b""
    outbox: tuple[Sent, ...] = ()


class Model:
    def __init__(self, now: int, layout: int = keys.LAYOUT) -> None:
        self.layout = layout
        #: The server's clock, and the time of the last event, which never goes backwards.
        self.now = now
        self.at = 0
        self.log: list[Event] = []
        self.heads: dict[str, Head] = {}
        self.order: dict[str, int] = {}
        self.leases: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        #: Job -> the position of its job.submitted; the jobs whose message is not there, but in `body:ID`.
        self.born: dict[str, int] = {}
        self.own_body: set[str] = set()
        #: The last position that left the log.
        self.trimmed = 0
        self.steps: dict[str, dict[str, StepCompleted]] = {}
        #: Job -> the last report, the last ended attempt, the last request: what knows a resend.
        self.seq: dict[str, int] = {}
        self.closed: dict[str, int] = {}
        self.op: dict[str, str] = {}
        self.claims: dict[str, tuple[str, list[str]]] = {}
        self.ttl: dict[str, int] = {}
        self.bells: set[str] = set()
        self.queues: set[str] = set()
        #: Queue -> (state, by, reason, since) where it is not open.
        self.held: dict[str, tuple[str, str, str, int]] = {}
        #: Job -> when it expires, of those that never started; whether there ever was one.
        self.expires: dict[str, int] = {}
        self.expiring = False
        #: Digest -> the job that holds the key, and its window in ms.
        self.unique: dict[str, tuple[str, int]] = {}
        #: Job -> payload digest and least time to live of its head, where it was asked for by a key.
        self.payload: dict[str, tuple[str, int]] = {}
        #: Operation id of an administrative event -> its position.
        self.notes: dict[str, int] = {}

    # -- one method per script ----------------------------------------------------------------

    def submit(self, sent: Sequence[Sent]) -> list[str]:
        return [self._submit(each) for each in sent]

    def claim(
        self, worker: str, op: str, queues: Sequence[str], limit: int
    ) -> tuple[int | None, list[tuple[str, int, bytes]]]:
        last, jobs = self.claims.get(worker, ("", []))
        if last == op:
            held = (self.heads.get(job) for job in jobs)
            mine = [h for h in held if h and h.state == "processing" and h.worker == worker]
            return None, [self._given(h) for h in mine]
        taken: list[str] = []
        self._expire()
        for queue in queues:
            self._promote(queue)
            self._reclaim(queue)
            if self._paused(queue):
                continue
            for job in self.ready(queue)[: limit - len(taken)]:
                self._apply(job, Claim(worker=worker, now=self.now), by=f"worker:{worker}")
                self.expires.pop(job, None)
                if self.heads[job].state == "failed":
                    self._retire(job, FAILED_TTL_MS)
                    continue
                self.leases[job] = self.now + LEASE_MS * 1000
                self.seq[job] = 0
                taken.append(job)
            if self.ready(queue):
                self._ring(queue)
        if taken:
            self.claims[worker] = (op, taken)
        wake = None
        if len(taken) < limit or limit == 0:
            waiting = [self.heads[job].due for queue in queues for job in self.due(queue)]
            wake = max(0, -((self.now - min(waiting)) // 1000)) if waiting else None
        return wake, [self._given(self.heads[job]) for job in taken]

    def heartbeat(self, held: Sequence[tuple[str, int]]) -> list[str]:
        answers = []
        for job, attempt in held:
            head = self.heads.get(job)
            if head is None or head.state != "processing" or head.attempt != attempt:
                answers.append("stale")
                continue
            self.leases[job] = self.now + LEASE_MS * 1000
            answers.append("cancel" if head.cancel_requested else "ok")
        self._expire()
        return answers

    def report(self, reports: Sequence[tuple[str, int, int, str, Any]]) -> list[str]:
        return [self._report(*each) for each in reports]

    def finish(self, outcomes: Sequence[Outcome]) -> list[str]:
        return [self._finish(each) for each in outcomes]

    def release(self, held: Sequence[tuple[str, int]], by: str, reason: str) -> list[str]:
        answers = []
        for job, attempt in held:
            answer = self._end_attempt(job, Release(attempt=attempt, reason=reason), attempt, by)
            if answer == "ok" and self.heads[job].state == "pending":
                self._ring(self.heads[job].queue)
            answers.append(answer)
        return answers

    def cancel(
        self, jobs: Sequence[str], op: str, by: str, reason: str, cause: str = ""
    ) -> list[str]:
        return [self._cancel(job, op, by, reason, cause) for job in jobs]

    def requeue(
        self, jobs: Sequence[tuple[str, bytes]], op: str, by: str, reason: str, cause: str = ""
    ) -> list[str]:
        return [self._requeue(job, body, op, by, reason, cause) for job, body in jobs]

    def hold(self, queue: str, state: str, by: str, reason: str, correlation: str) -> str:
        if self.held.get(queue, ("open",))[0] == state:
            return "already"
        kinds = {"paused": QueuePaused, "draining": QueueDrained, "open": QueueResumed}
        self._log_administrative(kinds[state](queue=queue, reason=reason), by, "", correlation)
        if state == "open":
            del self.held[queue]
        else:
            self.held[queue] = (state, by, reason, self.now)
        if self.ready(queue):
            self._ring(queue)
        return "ok"

    def note(
        self, data: AdministrativeData, op: str, by: str, tenant: str, correlation: str
    ) -> int:
        if op not in self.notes:
            self._log_administrative(data, by, tenant, correlation)
            self.notes[op] = len(self.log)
        return self.notes[op]

    def _log_administrative(
        self, data: AdministrativeData, by: str, tenant: str, correlation: str
    ) -> None:
        self.at = max(self.at, self.now)
        self.log.append(
            Event(
                partition=0,
                position=len(self.log) + 1,
                type=type_of(data),
                job="",
                version=0,
                attempt=0,
                at=self.at,
                by=by,
                causation="",
                correlation=correlation,
                traceparent="",
                tenant=tenant,
                queue="",
                schema=SCHEMA,
                data=data,
            )
        )

    def trim(self, upto: int, most: int) -> int:
        upto = max(0, min(upto, len(self.log)))
        if upto <= self.trimmed:
            return upto
        leaving = self.log[self.trimmed : upto][:most]
        for event in leaving:
            head = self.heads.get(event.job) if isinstance(event.data, Submitted) else None
            if head and self.born[event.job] == event.position and head.state != "completed":
                self.own_body.add(event.job)
        self.trimmed = leaving[-1].position
        return self.trimmed

    def forget(self, job: str) -> None:
        """The time to live of an ended job ran out."""
        for kept in (
            *(self.heads, self.bodies, self.order, self.seq, self.closed, self.op, self.ttl),
            *(self.payload, self.born),
        ):
            kept.pop(job, None)
        self.own_body.discard(job)

    # -- what the queues hold -----------------------------------------------------------------

    def ready(self, queue: str) -> list[str]:
        """The jobs of a queue that may start, in their order."""
        jobs = self._in("pending", queue)
        return sorted(jobs, key=lambda job: (self.order[job], job.encode()))

    def due(self, queue: str) -> list[str]:
        jobs = self._in("scheduled", queue)
        return sorted(jobs, key=lambda job: (self.heads[job].due, job.encode()))

    def leased(self, queue: str) -> list[str]:
        jobs = self._in("processing", queue)
        return sorted(jobs, key=lambda job: (self.leases[job], job.encode()))

    def _in(self, state: str, queue: str) -> list[str]:
        return [job for job, h in self.heads.items() if h.state == state and h.queue == queue]

    # -- the parts ----------------------------------------------------------------------------

    def _submit(self, sent: Sent) -> str:
        data = sent.data(
            self._after(sent.delay) if sent.delay else sent.due,
            self._after(sent.ttl) if sent.ttl else 0,
        )
        decided = decide(self.heads.get(sent.job), Submit(data=data))
        if isinstance(decided, str):
            known = self.payload.get(sent.job, ("", 0))[0]
            return "differs" if sent.payload and known not in ("", sent.payload) else decided
        if sent.payload and 0 < data.due <= self.now:
            return "past"
        if not sent.causation and self.held.get(sent.queue, ("",))[0] == "draining":
            return "closed"
        if sent.unique in self.unique:
            holder = self.unique[sent.unique][0]
            if sent.conflict != "replace":
                return f"{'held' if sent.conflict == 'return' else 'taken'} {holder}"
            if not self._apply(holder, Replace(job=sent.job), by=sent.by):
                self._retire(holder, FAILED_TTL_MS)
        self._append(sent.job, decided[0], sent.by, sent)
        if data.expires:
            self.expires[sent.job] = data.expires
            self.expiring = True
        if sent.unique:
            self.unique[sent.unique] = (sent.job, sent.window_ms)
        if sent.payload:
            self.payload[sent.job] = (sent.payload, sent.keep_ms)
        self._keep_message(sent)
        self.order[sent.job] = STEP * sent.priority + len(self.log)
        self.queues.add(sent.queue)
        self._ring_for(sent.job)
        return "ok"

    def _keep_message(self, sent: Sent) -> None:
        self.bodies[sent.job] = sent.body
        self.born[sent.job] = len(self.log)
        if self.layout == 1:
            self.own_body.add(sent.job)

    def _expire(self) -> None:
        for job in sorted(self.expires, key=lambda job: (self.expires[job], job.encode())):
            if not self._apply(job, Expire(now=self.now)):
                self._retire(job, FAILED_TTL_MS)

    def _promote(self, queue: str) -> None:
        for job in self.due(queue):
            if self._apply(job, Promote(now=self.now)) != "waiting":
                self._to_the_end(job)

    def _reclaim(self, queue: str) -> None:
        if self.now < self.at:
            for job in self.leased(queue):
                self.leases[job] = min(self.leases[job], self.now + FAR)
        for job in [job for job in self.leased(queue) if self.leases[job] <= self.now]:
            self._apply(job, LoseLease(max_deaths=MAX_DEATHS))
            del self.leases[job]
            self._retire(job, FAILED_TTL_MS)

    def _report(self, job: str, attempt: int, seq: int, by: str, data: Any) -> str:
        decided = decide(self.heads.get(job), Report(attempt=attempt, data=data))
        if isinstance(decided, str):
            return decided
        if seq <= self.seq[job]:
            return "already"
        self._append(job, decided[0], by)
        self.seq[job] = seq
        if isinstance(data, StepCompleted):
            self.steps.setdefault(job, {})[data.name] = data
        return "ok"

    def _finish(self, outcome: Outcome) -> str:
        job, data = outcome.job, outcome.data
        if isinstance(data, RetryScheduled | Snoozed):
            data = msgspec.structs.replace(data, due=self._after(outcome.delay))
        ttl = COMPLETED_TTL_MS if isinstance(data, Completed) else FAILED_TTL_MS
        command = Finish(attempt=outcome.attempt, data=data)
        answer = self._end_attempt(job, command, outcome.attempt, outcome.by, ttl)
        if answer == "ok":
            if self.heads[job].state == "scheduled":
                if outcome.body:
                    self.bodies[job] = outcome.body
                    self.own_body.add(job)
                self._ring_for(job)
            self.submit(outcome.outbox)
        return answer

    def _end_attempt(
        self, job: str, command: Command, attempt: int, by: str, ttl: int = FAILED_TTL_MS
    ) -> str:
        refused = self._apply(job, command, by=by)
        if refused == "stale" and self.closed.get(job) == attempt:
            return "already"
        if refused:
            return refused
        self.closed[job] = attempt
        del self.leases[job]
        self._retire(job, ttl)
        return "ok"

    def _cancel(self, job: str, op: str, by: str, reason: str, cause: str) -> str:
        if job in self.heads and self.op.get(job) == op:
            return "already"
        refused = self._apply(job, Cancel(reason=reason), by=by, cause=cause)
        if refused:
            return refused
        self.op[job] = op
        self._retire(job, FAILED_TTL_MS)
        return "cancelled" if isinstance(self.log[-1].data, Cancelled) else "requested"

    def _requeue(self, job: str, body: bytes, op: str, by: str, reason: str, cause: str) -> str:
        head = self.heads.get(job)
        if head and self.op.get(job) == op:
            return "already"
        if head and head.state in ("failed", "cancelled"):
            holder, _ = self.unique.get(head.unique, (job, 0))
            if holder != job:
                return "held"
        refused = self._apply(job, Requeue(reason=reason), by=by, cause=cause)
        if refused:
            return refused
        self.op[job] = op
        self.ttl.pop(job)
        if self.heads[job].unique:
            self.unique[self.heads[job].unique] = (job, 0)
        if body:
            self.bodies[job] = body
            self.own_body.add(job)
        self._to_the_end(job)
        self._ring(self.heads[job].queue)
        return "ok"

    def _apply(self, job: str, command: Command, by: str = "system", cause: str = "") -> str:
        """Append what follows from a command; the refusal where nothing does."""
        decided = decide(self.heads.get(job), command)
        if isinstance(decided, str):
            return decided
        for data in decided:
            self._append(job, data, by, cause=cause)
        return ""

    def _append(
        self, job: str, data: EventData, by: str, sent: Sent | None = None, *, cause: str = ""
    ) -> None:
        head = self.heads.get(job)
        origin = sent or head
        assert origin is not None
        self.at = max(self.now, self.at)
        event = Event(
            partition=0,
            position=len(self.log) + 1,
            type=type_of(data),
            job=job,
            version=head.version + 1 if head else 1,
            attempt=(head.attempt if head else 0) + isinstance(data, Started),
            at=self.at,
            by=author(head, data, by),
            causation=cause or origin.causation,
            correlation=origin.correlation,
            traceparent=origin.traceparent,
            tenant=origin.tenant,
            queue=origin.queue,
            schema=SCHEMA,
            data=data,
        )
        self.log.append(event)
        self.heads[job] = evolve(head, event)

    def _after(self, delay: int) -> int:
        return min(self.now + delay, 2**53 - 1)

    def _to_the_end(self, job: str) -> None:
        """A new place in the queue, behind all that are ready with its priority."""
        self.order[job] = STEP * self.heads[job].priority + len(self.log)

    def _ring_for(self, job: str) -> None:
        """A bell rings for what is ready, and for a due time that comes before all others."""
        head = self.heads[job]
        if head.state == "pending" or self.due(head.queue)[0] == job:
            self._ring(head.queue)

    def _ring(self, queue: str) -> None:
        if not self._paused(queue):
            self.bells.add(queue)

    def _paused(self, queue: str) -> bool:
        return self.held.get(queue, ("open",))[0] == "paused"

    def _retire(self, job: str, ttl: int) -> None:
        head = self.heads[job]
        if head.state not in TERMINAL:
            return
        self.ttl[job] = max(ttl, self.payload.get(job, ("", 0))[1])
        self.steps.pop(job, None)
        self.expires.pop(job, None)
        holder, window = self.unique.get(head.unique, ("", 0))
        if holder == job and (head.state != "completed" or not window):
            del self.unique[head.unique]
        if head.state == "completed":
            del self.bodies[job]
            self.own_body.discard(job)

    def _given(self, head: Head) -> tuple[str, int, bytes]:
        return head.job, head.attempt, self.bodies[head.job]
