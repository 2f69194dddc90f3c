"""Owns a lock for coverage's data that heals when an interrupt left it locked.

A job that is cancelled is interrupted by an exception that is raised anywhere in its thread: also inside
coverage's own `lock_data`, between taking the lock and letting it go. Every thread that comes to a new file
would then wait for ever.
"""

from __future__ import annotations

import contextlib
import threading

import coverage

PATIENCE = 1.0


class HealingLock:
    """Waits a second for the lock, then takes it for lost and goes on; the next release frees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> None:
        self._lock.acquire(timeout=PATIENCE)

    def release(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def install() -> None:
    """Give the running measurement, if there is one, a lock that cannot be lost."""
    current = coverage.Coverage.current()
    collector = getattr(current, "_collector", None)
    if collector is not None and collector.data_lock is not None:
        collector.data_lock = HealingLock()
