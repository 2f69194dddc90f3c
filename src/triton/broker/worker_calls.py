"""Owns what a worker process asks of the log: trips, what follows in other partitions, jobs given back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import redis

from triton import keys
from triton.broker.intake import answering
from triton.broker.proxy import JobProxy
from triton.broker.sender import send_until_answered
from triton.broker.trip import Claim, Finished, Report, Trip, grouped
from triton.events.client import send
from triton.events.scripts import Call, Scripts


class WorkerCalls:
    """Of one worker process, which is called `worker`. It holds nothing, so any thread may call it."""

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        prefix_of: Callable[[str], str],
        *,
        worker: str,
        lease_ms: int,
        max_deaths: int,
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._prefix_of = prefix_of
        self._worker = worker
        self._by = f"worker:{worker}"
        self._lease_ms = lease_ms
        self._max_deaths = max_deaths

    def trip(
        self, reports: Sequence[Report], finished: Sequence[Finished], claims: Sequence[Claim]
    ) -> Trip:
        return Trip(
            self._scripts,
            self._prefix_of,
            reports=reports,
            finished=finished,
            claims=[self._claim(claim) for claim in claims],
        )

    def send(
        self, trip: Trip, finished: Sequence[Finished], stopped: threading.Event
    ) -> list[Any] | None:
        """The replies; None when `stopped` was set and nobody answered."""
        # What follows in other partitions goes before the outcomes: one that is written without what follows
        # from it would never be repeated.
        apart = [submission for each in finished for submission in each.proxy.apart]
        if apart:
            groups = grouped(apart, lambda submission: self._prefix_of(submission.job))
            calls = [self._scripts.submit(prefix, group) for prefix, group in groups]
            if send_until_answered(self._client, calls, stopped) is None:
                return None
        return send_until_answered(self._client, trip.calls, stopped)

    def release(self, proxies: Sequence[JobProxy], reason: str) -> None:
        """Give jobs back to their queues, at once. Raises RedisError."""
        calls = [
            self._scripts.release(
                prefix, [proxy.lease for proxy in group], by=self._by, reason=reason
            )
            for prefix, group in grouped(proxies, self._prefix_of_proxy)
        ]
        if calls:
            send(self._client, calls)

    def recorded_steps(self, proxy: JobProxy) -> dict[bytes, bytes]:
        """What earlier attempts of a job recorded, in one round trip. Raises ConnectionClosed."""
        with answering():
            found = self._client.hgetall(
                keys.steps(self._prefix_of_proxy(proxy), proxy.claimed.job)
            )
        return cast("dict[bytes, bytes]", found)

    def _claim(self, claim: Claim) -> Call:
        return self._scripts.claim(
            claim.prefix,
            worker=self._worker,
            op=claim.op,
            queues=claim.queues,
            limit=claim.limit,
            lease_ms=self._lease_ms,
            max_deaths=self._max_deaths,
        )

    def _prefix_of_proxy(self, proxy: JobProxy) -> str:
        return self._prefix_of(proxy.claimed.job)
