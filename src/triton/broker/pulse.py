"""Owns the two threads that listen to the server: the bell for work, the heart for the leases held."""

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
from triton.events.cluster import disconnect
from triton.events.scripts import Scripts, answers
from triton.observe.logger import get_logger
from triton.observe.signs import REDIS, signs

#: Seconds that an idle process blocks at most before it looks for due jobs and dead workers.
IDLE_BLOCK: Final = 1.0
#: Seconds within which a job that should be cancelled hears of it at the latest.
MAX_HEARTBEAT: Final = 2.0
#: Partitions that a busy worker's beat visits, whether it holds jobs there or not.
VISITS: Final = 8
_log: Final = get_logger("triton.worker")


class Bell:
    """Waits for work while there is none: blocks on the queues' bells, until the next due time.

    `client` has a socket timeout longer than IDLE_BLOCK. `names` says which keys to wait on; `rung` is
    called when there may be something to claim.
    """

    def __init__(
        self, client: redis.Redis, names: Callable[[], list[str]], rung: Callable[[], None]
    ) -> None:
        self._client = client
        self._names = names
        self._rung = rung
        self._changed = threading.Condition()
        self._wait: float | None = None
        #: How often it was hushed, and the same when the look began that is under way.
        self._hushed = 0
        self._looking: int | None = None

    @property
    def listening(self) -> bool:
        """Whether a job that becomes ready now will be heard of."""
        return self._wait is not None

    def arm(self, wait: float) -> None:
        """Listen for `wait` seconds at most."""
        with self._changed:
            self._wait = wait
            self._changed.notify()
            if self._looking not in (None, self._hushed):
                # It went to the server just after `hush` had ended its connection, with the names of before.
                self._cut()

    def hush(self) -> None:
        """Stop listening at once, so that a ring goes to another worker.

        A ring that was heard and not told yet is lost: whoever claims afterwards has to look by itself.
        """
        with self._changed:
            self._wait = None
            self._changed.notify()
            self._cut()

    def _cut(self) -> None:
        # Under the lock, so that whoever loses a connection knows whether it was this.
        self._hushed += 1
        disconnect(self._client)

    def listen(self, stopped: threading.Event) -> None:
        """The thread's body."""
        while True:
            with self._changed:
                while self._wait is None and not stopped.is_set():
                    self._changed.wait()
                if stopped.is_set() or self._wait is None:
                    return
                wait = self._wait
                self._looking = hushed = self._hushed
            names = self._names()
            try:
                if wait > 0 and names and hushed == self._hushed:
                    self._client.blpop(names, timeout=max(0.001, wait))
            except Exception as error:
                # A connection that `hush` took away ends in all kinds of errors.
                if hushed == self._hushed:
                    _log.warning("bell_lost", error=str(error))
                    stopped.wait(0.2)
            with self._changed:
                self._looking = None
                if hushed != self._hushed:
                    # Where it was armed again since, it listens anew, and to what there is now.
                    continue
                self._wait = None
            self._rung()


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
