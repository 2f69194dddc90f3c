"""Owns a log with a realistic mix of jobs, written by the scripts themselves, for readers to catch up on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import redis

from triton import keys
from triton.events.client import send
from triton.events.replies import Claimed, claimed
from triton.events.scripts import Packed, Scripts, pack_outcome, pack_report
from triton.events.types import (
    Completed,
    Error,
    Failed,
    Output,
    Progressed,
    RetryScheduled,
)
from triton.submit import Caller, job_id_for, message_for, submission_of

Kind: TypeAlias = Literal["plain", "reporting", "retried", "failed", "cancelled"]
#: Of 100 jobs: 60 just run (3 events), 25 report their progress and output (8), 10 are retried once (6),
#: 3 fail (3), 2 are cancelled while they wait (2).
MIX: dict[Kind, int] = {"plain": 60, "reporting": 25, "retried": 10, "failed": 3, "cancelled": 2}
QUEUES = ("default", "documents", "mail")
#: Jobs that wait while others run: about half of the jobs of a batch were born in an earlier one.
BACKLOG = 500
HELD = 16
CHUNK = 100
TRACEBACK = "Traceback (most recent call last):\n" + '  File "app/tasks.py", line 42, in run\n' * 8


def write(client: redis.Redis, namespace: str, events: int) -> int:
    """At least `events` events in a fresh log of one partition; answers how many they are."""
    history = History(client, namespace)
    while history.position() < events:
        history.turn()
    return history.position()


class History:
    """Written turn by turn."""

    def __init__(self, client: redis.Redis, namespace: str, scripts: Scripts | None = None) -> None:
        self._client = client
        self._prefix = keys.prefix(namespace, 0)
        self._scripts = scripts or Scripts()
        self._random = random.Random(7)
        self._numbers = itertools.count()
        self._kinds: dict[str, Kind] = {}
        self._held: dict[str, list[Claimed]] = {f"host-{i}": [] for i in range(4)}
        send(client, [self._scripts.open(self._prefix, "bench", 1)])

    def position(self) -> int:
        return int(self._client.hget(keys.meta(self._prefix), "pos") or 0)

    def turn(self) -> None:
        waiting = sum(int(self._client.zcard(keys.ready(self._prefix, q))) for q in QUEUES)
        for _ in range(max(0, BACKLOG - waiting) // CHUNK):
            self._submit()
        for worker in self._held:
            self._work(worker)

    def _submit(self) -> None:
        kinds = self._random.choices(list(MIX), weights=list(MIX.values()), k=CHUNK)
        submissions = []
        for kind in kinds:
            number = next(self._numbers)
            job = job_id_for("bench", str(number))
            self._kinds[job] = kind
            message = message_for(
                job=job,
                at_ms=1_790_000_000_000 + number,
                actor="app.tasks.run",
                args=(number, f"item {number}"),
                kwargs={"document": job, "pages": number % 40},
                queue=QUEUES[number % len(QUEUES)],
                options={"max_retries": 3},
            )
            submissions.append(
                submission_of(message, Caller("user:ada", tenant=f"tenant-{number % 20}"))
            )
        calls = [self._scripts.submit(self._prefix, submissions)]
        cancelled = [s.job for s in submissions if self._kinds[s.job] == "cancelled"]
        if cancelled:
            calls.append(
                self._scripts.cancel(
                    self._prefix, cancelled, op="bench", by="user:ada", reason="not needed"
                )
            )
        send(self._client, calls)

    def _work(self, worker: str) -> None:
        """Report on what is held, end it, and claim anew; everything is one worker's round trip."""
        held = self._held[worker]
        by = f"worker:{worker}"
        calls = []
        reporting = [c for c in held if self._kinds[c.job] == "reporting"]
        if reporting:
            reports = [r for seq in range(1, 6) for c in reporting for r in (_report(c, seq, by),)]
            calls.append(self._scripts.report(self._prefix, reports))
        if held:
            outcomes = [_outcome(c, self._kinds[c.job], by) for c in held]
            calls.append(self._scripts.finish(self._prefix, outcomes))
        claim = self._scripts.claim(
            self._prefix,
            worker=worker,
            op=str(next(self._numbers)),
            queues=self._random.sample(QUEUES, len(QUEUES)),
            limit=HELD,
            lease_ms=600_000,
            max_deaths=3,
        )
        replies: Sequence[Any] = send(self._client, [*calls, claim])
        self._held[worker] = claimed(replies[-1]).jobs


def _report(held: Claimed, seq: int, by: str) -> Packed:
    data: Progressed | Output = Progressed(percent=seq * 20.0, stage=f"page {seq} of 5")
    if seq % 2 == 0:
        data = Output(chunk=f"heading {seq}: what was found on this page, in a line of its own\n")
    return pack_report(held.job, held.attempt, seq, by, data)


def _outcome(held: Claimed, kind: Kind, by: str) -> Packed:
    error = Error(type="TimeoutError", message="the server did not answer", traceback=TRACEBACK)
    data: Completed | Failed | RetryScheduled
    if kind == "failed":
        data = Failed(error=error)
    elif kind == "retried" and held.attempt == 1:
        data = RetryScheduled(error=error, retries=1)
    else:
        data = Completed(result={"pages": 5, "words": 1234, "sha256": held.job})
    return pack_outcome(held.job, held.attempt, by, data, delay=1)
