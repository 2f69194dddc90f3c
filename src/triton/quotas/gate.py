"""Owns the gate that a tenant's jobs pass at submit: counted in Redis, in one step, for all API processes.

A tenant without limits costs no trip. What is open is known by the jobs' heads, not by a count that could
drift: the set of jobs that were let in is swept of those that ended when it is full.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeAlias, cast
from weakref import WeakValueDictionary

import redis.asyncio

from triton import keys
from triton.errors import QuotaError
from triton.events.client import server_time
from triton.quotas.limits import Limits

Quota: TypeAlias = Literal["jobs_per_second", "max_pending", "max_stored_bytes", "max_streams"]
#: Jobs whose heads are read in one trip, and seconds between two sweeps of a tenant by one process.
_CHUNK: Final = 1000
_SWEEP_SECONDS: Final = 1.0
#: Microseconds for which a job without a head is on its way, and not gone.
_COMING: Final = 60_000_000
_ENDED: Final = frozenset({b"completed", b"failed", b"cancelled"})


@cache
def _script() -> str:
    return resources.files(__package__).joinpath("admit.lua").read_text()


class Gate:
    """For all requests of a process."""

    def __init__(self, client: redis.asyncio.Redis, namespace: str, partitions: int) -> None:
        self._client = client
        self._namespace = namespace
        self._partitions = partitions
        self._admit = client.register_script(_script())
        self._swept: dict[str, float] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        #: How often each tenant was refused, by quota: since this process began.
        self.refused: Counter[tuple[str, Quota]] = Counter()

    async def admit(self, tenant: str, limits: Limits, jobs: Sequence[str]) -> None:
        """Let the jobs in, all of them. Raises QuotaError, RedisError."""
        if not jobs or (limits.jobs_per_second is None and limits.max_pending is None):
            return
        word, number = await self._ask(tenant, limits, jobs)
        if word == "pending" and await self._sweep(tenant):
            word, number = await self._ask(tenant, limits, jobs)
        if word == "rate":
            raise self.refuse(
                tenant, "jobs_per_second", limits.jobs_per_second or 0, wait_ms=number
            )
        if word == "pending":
            raise self.refuse(tenant, "max_pending", limits.max_pending or 0, used=number)

    def turn(self, tenant: str) -> asyncio.Lock:
        """What one request of a tenant at a time holds here: those that wait for it hold no connection."""
        return self._turns.setdefault(tenant, asyncio.Lock())

    def count(self, tenant: str, quota: Quota) -> None:
        """One more was refused, in words of its own."""
        self.refused[tenant, quota] += 1

    def refuse(
        self, tenant: str, quota: Quota, limit: float, *, used: int = 0, wait_ms: int = 1000
    ) -> QuotaError:
        """The refusal, counted."""
        self.count(tenant, quota)
        said = {
            "jobs_per_second": f"submits more than {limit:g} jobs a second",
            "max_pending": f"has {used} jobs that are not ended, and may have {limit:.0f}",
            "max_stored_bytes": f"stores {used} bytes of documents, and may store {limit:.0f}",
            "max_streams": f"has {limit:.0f} open streams, and may have no more",
        }[quota]
        return QuotaError(
            f"tenant {tenant!r} {said}: try again later, or have its quota raised",
            quota=quota,
            limit=limit,
            used=used,
            retry_after=max(1, -(-wait_ms // 1000)),
        )

    async def open_jobs(self, tenant: str) -> int:
        """Jobs that were let in under `max_pending` and have not ended, after a sweep."""
        await self._sweep(tenant)
        return int(await self._client.zcard(self._open(tenant)))

    async def _ask(self, tenant: str, limits: Limits, jobs: Sequence[str]) -> tuple[str, int]:
        rate, most = limits.jobs_per_second, limits.max_pending
        answer = await self._admit(
            keys=[keys.quota_rate(self._prefix, tenant), self._open(tenant)],
            args=["" if rate is None else rate, "" if most is None else most, *jobs],
        )
        word, number = cast("tuple[bytes, int]", answer)
        return word.decode(), int(number)

    async def _sweep(self, tenant: str) -> bool:
        """Forget the jobs that ended; False where there was no look, because one was a moment ago."""
        now = time.monotonic()
        if now - self._swept.get(tenant, -_SWEEP_SECONDS) < _SWEEP_SECONDS:
            return False
        self._swept = {one: at for one, at in self._swept.items() if now - at < _SWEEP_SECONDS}
        self._swept[tenant] = now
        place = self._open(tenant)
        coming = await server_time(self._client) - _COMING
        counted = cast(
            "list[tuple[bytes, float]]",
            await self._client.zrange(place, 0, -1, withscores=True),
        )
        for start in range(0, len(counted), _CHUNK):
            chunk = counted[start : start + _CHUNK]
            async with self._client.pipeline(transaction=False) as pipe:
                for job, _ in chunk:
                    name = job.decode()
                    prefix = keys.prefix(self._namespace, keys.partition_of(name, self._partitions))
                    pipe.hmget(keys.job(prefix, name), "state", "born")
                heads = await pipe.execute()
            ended = [
                job
                for (job, at), (state, born) in zip(chunk, heads, strict=True)
                if state in _ENDED or (state is None and born is None and at < coming)
            ]
            if ended:
                await self._client.zrem(place, *ended)
        return True

    @property
    def _prefix(self) -> str:
        return keys.prefix(self._namespace, 0)

    def _open(self, tenant: str) -> str:
        return keys.quota_open(self._prefix, tenant)
