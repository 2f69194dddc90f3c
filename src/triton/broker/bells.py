"""Owns waiting for work: one bell where one call can wait for all of it, one for each slot of a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import redis

from triton.events.cluster import disconnect, slots_of
from triton.observe.logger import get_logger

#: Seconds that an idle process blocks at most before it looks for due jobs and dead workers.
IDLE_BLOCK: Final = 1.0
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


class Bells:
    """A bell for each partition, used like a Bell: in a cluster one call can wait for one slot only.

    Each has an ear, a thread that only hears rings. The time is kept apart from them, because an ear that
    listens cannot be told of an earlier due time.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefixes: Sequence[str],
        names: Callable[[], list[str]],
        rung: Callable[[], None],
    ) -> None:
        self._client = client
        self._prefixes = prefixes
        self._names = names
        self._rung = rung
        self._changed = threading.Condition()
        #: Monotonic seconds until which it listens.
        self._until: float | None = None
        #: How often it was hushed.
        self._hushed = 0

    @property
    def listening(self) -> bool:
        return self._until is not None

    def arm(self, wait: float) -> None:
        with self._changed:
            self._until = time.monotonic() + wait
            self._changed.notify_all()

    def hush(self) -> None:
        with self._changed:
            self._until = None
            self._hushed += 1
            self._changed.notify_all()
            disconnect(self._client)

    def listen(self, stopped: threading.Event) -> None:
        """The thread's body. The ears are not waited for at its end: they hear of it within a second."""
        for prefix in self._prefixes:
            ear = threading.Thread(
                target=self._hear, args=(prefix, stopped), name="triton-ear", daemon=True
            )
            ear.start()
        while self._armed(stopped):
            with self._changed:
                left = None if self._until is None else self._until - time.monotonic()
                if left is not None and left > 0:
                    self._changed.wait(left)
                    continue
            if left is not None:
                self._ring()

    def _hear(self, prefix: str, stopped: threading.Event) -> None:
        while self._armed(stopped):
            hushed = self._hushed
            names = [name for name in self._names() if name.startswith(prefix)]
            try:
                if names and self._client.blpop(names, timeout=IDLE_BLOCK):
                    # Also where nobody listens any more: it was taken from other workers.
                    self._ring()
            except Exception as error:
                # A connection that `hush` took away ends in all kinds of errors.
                if hushed == self._hushed:
                    _log.warning("bell_lost", error=str(error))
                    stopped.wait(0.2)
                    # It may have rung on the connection that was lost.
                    self._ring()

    def _armed(self, stopped: threading.Event) -> bool:
        """Waits until there is reason to listen; False when there will be none."""
        with self._changed:
            while self._until is None and not stopped.is_set():
                self._changed.wait()
        return not stopped.is_set()

    def _ring(self) -> None:
        with self._changed:
            self._until = None
        self._rung()


def bell_of(
    client: redis.Redis,
    prefixes: Sequence[str],
    names: Callable[[], list[str]],
    rung: Callable[[], None],
) -> Bell | Bells:
    """One bell for all that one call can wait for."""
    if len(slots_of(client, prefixes)) > 1:
        return Bells(client, prefixes, names, rung)
    return Bell(client, names, rung)
