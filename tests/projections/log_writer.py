"""Owns writing real logs for the projections' tests: by the Lua scripts only, never by hand."""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from triton import keys
from triton.events.client import connect, send
from triton.events.codec import encode_data
from triton.events.replies import Claimed, claimed
from triton.events.scripts import Scripts, pack_outcome, pack_report
from triton.events.submission import Submission
from triton.events.types import (
    Cancelled,
    Completed,
    Error,
    Failed,
    Output,
    Progressed,
    RetryScheduled,
    Snoozed,
    StepCompleted,
    Submitted,
)
from triton.submit import message_for

WORKER = "worker:w1"
#: Texts and values that a store might refuse or change.
ODD_TEXTS = (
    "plain",
    "tab\tline\nreturn\rback\\slash",
    "nul\0inside",
    '\\u0000 "quoted" \\N \\.',
    "ünïcödé 😀 \u2028",
    "",
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    0,
    -1.5,
    1e22,
    2**63,
    True,
    "nul\0",
    b"\0\xff",
    [1, [2, {"k": None}]],
    {"a": "tab\t", "nul\0key": "\\"},
    float("nan"),
    {1: 2},
)


class LogWriter:
    """One partition of a namespace's log, as workers and submitters write it."""

    def __init__(
        self, redis_url: str, namespace: str, partitions: int = 1, partition: int = 0
    ) -> None:
        self.client = connect(redis_url)
        self.scripts = Scripts()
        self.prefix = keys.prefix(namespace, partition)
        self.epoch = secrets.token_hex(8)
        self.send(self.scripts.open(self.prefix, self.epoch, partitions))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    @property
    def position(self) -> int:
        return int(self.client.hget(keys.meta(self.prefix), "pos") or 0)

    @property
    def stream(self) -> str:
        return keys.log(self.prefix)

    def send(self, *calls: Any) -> Any:
        return send(self.client, calls)[0]

    def submit(
        self,
        job: str = "",
        *,
        body: bytes | None = None,
        queue: str = "default",
        tenant: str = "default",
        actor: str = "noop",
        due: int = 0,
        args: Sequence[Any] = (),
        correlation: str = "",
    ) -> str:
        job = job or str(uuid.uuid4())
        if body is None:
            message = message_for(job=job, at_ms=1, actor=actor, args=args, queue=queue)
            body = message.encode()
        submission = Submission(
            job=job,
            queue=queue,
            actor=actor,
            tenant=tenant,
            by="user:tester",
            correlation=correlation,
            due=due,
            data=encode_data(Submitted(actor=actor, body=body, due=due)),
            body=body,
        )
        self.send(self.scripts.submit(self.prefix, [submission]))
        return job

    def claim(
        self, limit: int = 1, *, queue: str = "default", lease_ms: int = 60_000
    ) -> list[Claimed]:
        reply = self.send(
            self.scripts.claim(
                self.prefix,
                worker="w1",
                op=secrets.token_hex(4),
                queues=[queue],
                limit=limit,
                lease_ms=lease_ms,
                max_deaths=3,
            )
        )
        return claimed(reply).jobs

    def report(self, job: Claimed, seq: int, data: Progressed | Output | StepCompleted) -> None:
        packed = pack_report(job.job, job.attempt, seq, WORKER, data)
        self.send(self.scripts.report(self.prefix, [packed]))

    def finish(
        self,
        job: Claimed,
        data: Completed | Failed | Cancelled | RetryScheduled | Snoozed,
    ) -> None:
        packed = pack_outcome(job.job, job.attempt, WORKER, data)
        self.send(self.scripts.finish(self.prefix, [packed]))

    def run(self, count: int = 1, result: Any = None) -> list[str]:
        """Jobs that are submitted, run and completed: three events each."""
        for _ in range(count):
            self.submit()
        done = self.claim(count)
        for job in done:
            self.finish(job, Completed(result=result))
        return [job.job for job in done]

    def history(self, seed: int, events: int) -> None:
        """At least so many events of random lives, with odd texts and values; all but time is the seed's.

        Leases are over at once or never: what happens depends on no clock.
        """
        chance = random.Random(seed)
        jobs: list[str] = []
        held: dict[str, tuple[Claimed, int]] = {}
        while self.position < events:
            self._step(chance, jobs, held)

    def _step(
        self, chance: random.Random, jobs: list[str], held: dict[str, tuple[Claimed, int]]
    ) -> None:
        text, value = chance.choice(ODD_TEXTS), chance.choice(ODD_VALUES)
        match chance.randrange(8):
            # More than 40 now and then: where all of them have ended, nothing else would happen any more.
            case 0 | 1 | 2 if len(jobs) < 40 or chance.random() < 0.02:
                odd = {
                    "job": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                    "body": chance.choice([None, None, b"\xff\0no json", b'{"args":["\\u0000"]}']),
                    "due": chance.choice([0, 0, 1, 4_102_444_800_000_000]),
                    "correlation": chance.choice(ODD_TEXTS),
                }
                jobs.append(self.submit(**odd))
            case 3 | 4:
                for job in self.claim(chance.randrange(1, 4), lease_ms=chance.choice([0, 60_000])):
                    held[job.job] = (job, 0)
            case 5 if held:
                job, seq = held[chance.choice(sorted(held))]
                held[job.job] = (job, seq + 1)
                reports = (
                    Progressed(percent=chance.random() * 100, stage=text),
                    Output(chunk=text),
                    StepCompleted(name=f"step {seq}", result=value),
                )
                self.report(job, seq + 1, chance.choice(reports))
            case 6 if held:
                job, _ = held.pop(chance.choice(sorted(held)))
                error = Error(type="ValueError", message=text)
                self.finish(
                    job,
                    chance.choice(
                        (
                            Completed(result=value),
                            Completed(),
                            Failed(error=error),
                            RetryScheduled(due=1, error=error, retries=1),
                            Snoozed(due=1, reason=text),
                        )
                    ),
                )
            case 7 if jobs:
                job_id = chance.choice(jobs)
                op, by = secrets.token_hex(4), "user:tester"
                if chance.random() < 0.5:
                    call = self.scripts.cancel(self.prefix, [job_id], op=op, by=by, reason=text)
                else:
                    call = self.scripts.requeue(
                        self.prefix, [(job_id, b"")], op=op, by=by, reason=text
                    )
                self.send(call)
            case _:
                pass
