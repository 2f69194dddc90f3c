"""Owns the heart of a worker process: the thread that extends the leases of what is held."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import redis
from redis.exceptions import RedisError

from triton import keys
from triton.broker.interrupts import CancelRequested, LeaseLost
from triton.broker.proxy import JobProxy
from triton.broker.trip import grouped
from triton.events.client import send
from triton.events.replies import answers
from triton.events.scripts import Scripts
from triton.observe.logger import get_logger
from triton.observe.signs import REDIS, signs

#: Seconds within which a job that should be cancelled hears of it at the latest.
MAX_HEARTBEAT: Final = 2.0
#: Partitions that a busy worker's beat visits, whether it holds jobs there or not.
VISITS: Final = 8
_log: Final = get_logger("triton.worker")


def beat_interval(lease_ms: int) -> float:
    """Seconds between two beats of a worker's heart."""
    return min(lease_ms / 3000, MAX_HEARTBEAT)


class Heart:
    """Extends the leases of what is held; interrupts what was cancelled or lost.

    In the first partition each beat also keeps what the worker says of itself; that is all that the beats of
    an idle worker say, three in a lease. A busy one, which may not claim for hours, visits the other
    partitions in turn: there too, jobs must expire in time.
    """

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        prefix_of: Callable[[str], str],
        lease_ms: int,
        held: Callable[[], list[JobProxy]],
        beating: Callable[[int], None],
        *,
        worker: str,
        prefixes: Sequence[str],
        about: Callable[[], bytes],
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._prefix_of = prefix_of
        self._lease_ms = lease_ms
        self._held = held
        self._beating = beating
        self._worker = worker
        self._home = prefixes[0]
        self._turns = itertools.cycle(prefixes)
        self._visits = min(VISITS, len(prefixes))
        self._about = about

    def leave(self) -> None:
        """Say that the worker is gone; without this it is known for a lease."""
        with suppress(RedisError), self._client.pipeline(transaction=False) as pipe:
            pipe.delete(keys.worker(self._home, self._worker))
            pipe.zrem(keys.workers(self._home), self._worker)
            pipe.execute()

    def beat(self, stopped: threading.Event) -> None:
        """The thread's body."""
        third = self._lease_ms / 3000
        last = float("-inf")
        part = signs.part(REDIS)
        while not stopped.wait(beat_interval(self._lease_ms)):
            held = self._held()
            # Before the trip: while that hangs, the keeper extends the leases.
            self._beating(len(held))
            if not held and time.monotonic() < last + third:
                continue
            last = time.monotonic()
            try:
                self._once(held)
                part.moved()
            except RedisError as error:
                _log.warning("heartbeat_failed", jobs=len(held), error=str(error))
            except Exception:
                # A worker that goes on without a heart would hear of no cancel, and lose its leases.
                _log.exception("heartbeat_failed", jobs=len(held))
        self.leave()
        signs.leave(REDIS)

    def _once(self, held: Sequence[JobProxy]) -> None:
        groups = list(grouped(held, lambda proxy: self._prefix_of(proxy.claimed.job)))
        visited = {self._home, *itertools.islice(self._turns, self._visits if held else 0)}
        groups += ((prefix, []) for prefix in visited - {prefix for prefix, _ in groups})
        calls = [
            self._scripts.heartbeat(
                prefix,
                self._lease_ms,
                [proxy.lease for proxy in group],
                worker=self._worker if prefix == self._home else "",
                about=self._about() if prefix == self._home else b"",
            )
            for prefix, group in groups
        ]
        for (_, group), reply in zip(groups, send(self._client, calls), strict=True):
            for proxy, answer in zip(group, answers(reply), strict=True):
                if answer == "cancel":
                    proxy.interrupt(CancelRequested)
                elif answer == "stale" and not proxy.packed:
                    proxy.interrupt(LeaseLost)
