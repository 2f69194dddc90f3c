"""Owns short ways to make calls on one partition and to see all that it holds."""

from __future__ import annotations

import itertools
from typing import Any

import redis
from partition_model import Sent

from eventually import eventually
from triton import keys
from triton.events.client import send
from triton.events.codec import encode_data
from triton.events.scripts import Call, Scripts, pack_outcome
from triton.events.submission import Submission
from triton.events.types import Completed


def submission(sent: Sent) -> Submission:
    return sent.submission(encode_data(sent.data(sent.due)))


def _microseconds(time: tuple[int, int]) -> int:
    return time[0] * 1_000_000 + time[1]


class Steps:
    """Calls with the values that do not matter filled in; the log is open."""

    def __init__(self, client: redis.Redis, namespace: str, partition: int = 0) -> None:
        self.client = client
        self.namespace = namespace
        self.scripts = Scripts()
        self.prefix = keys.prefix(namespace, partition)
        self._ops = map(str, itertools.count())

    def open(self, partitions: int = 1, epoch: str = "e") -> None:
        self.run(self.scripts.open(self.prefix, epoch, partitions))

    def run(self, *calls: Call) -> list[Any]:
        return send(self.client, calls)

    def submit(self, *jobs: str | Sent) -> Call:
        sent = [job if isinstance(job, Sent) else Sent(job, "q", b"body") for job in jobs]
        return self.scripts.submit(self.prefix, [submission(each) for each in sent])

    def claim(
        self, worker: str, *, limit: int = 1, queue: str = "q", lease_ms: int = 60_000
    ) -> Call:
        return self.scripts.claim(
            self.prefix,
            worker=worker,
            op=next(self._ops),
            queues=[queue],
            limit=limit,
            lease_ms=lease_ms,
            max_deaths=3,
        )

    def heartbeat(self, *held: tuple[str, int]) -> Call:
        return self.scripts.heartbeat(self.prefix, 60_000, held)

    def finish(
        self, job: str, attempt: int = 1, data: Any = None, outbox: tuple[str, ...] = ()
    ) -> Call:
        follows = [submission(Sent(each, "q", b"body")) for each in outbox]
        data = data or Completed()
        packed = pack_outcome(job, attempt, "worker:w", data, outbox=follows)
        return self.scripts.finish(self.prefix, [packed])

    def release(self, *held: tuple[str, int]) -> Call:
        return self.scripts.release(self.prefix, held, by="worker:w")

    def cancel(self, *jobs: str) -> Call:
        return self.scripts.cancel(self.prefix, jobs, op=next(self._ops), by="user:ann")

    def requeue(self, *jobs: str) -> Call:
        with_body = [(job, b"") for job in jobs]
        return self.scripts.requeue(self.prefix, with_body, op=next(self._ops), by="user:ann")

    def outlive_leases(self, queue: str = "q") -> None:
        """Returns when every lease of the queue has ended, by the server's clock."""
        _, last = self.client.zrange(keys.leases(self.prefix, queue), -1, -1, withscores=True)[0]
        eventually(lambda: _microseconds(self.client.time()) > last, interval=0.001)

    def outlive_expiry(self) -> None:
        """Returns when every time to live has ended, by the server's clock."""
        _, last = self.client.zrange(keys.expires(self.prefix), -1, -1, withscores=True)[0]
        eventually(lambda: _microseconds(self.client.time()) > last, interval=0.001)

    def outlive(self, job: str) -> None:
        """Returns when a scheduled job is due, by the server's clock."""
        due = int(self.client.hget(keys.job(self.prefix, job), "due") or 0)
        eventually(lambda: _microseconds(self.client.time()) >= due, interval=0.001)

    def dump(self) -> dict[bytes, Any]:
        """Every key of the partition, as the server would hand it to another; times to live aside."""
        found = sorted(self.client.scan_iter(f"{self.prefix}*"))
        return {key: self.client.dump(key) for key in found}
