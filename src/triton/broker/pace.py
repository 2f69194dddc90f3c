"""Owns how many jobs of each queue this process ended in the last minute. Safe to use from any thread."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

_MINUTE: Final = 60


class Pace:
    """Counts by the second; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seconds: deque[tuple[int, Counter[str]]] = deque()

    def add(self, queue: str) -> None:
        """A job of a queue has ended."""
        with self._lock:
            second = int(self._clock())
            if not self._seconds or self._seconds[-1][0] != second:
                self._forget(second)
                self._seconds.append((second, Counter()))
            self._seconds[-1][1][queue] += 1

    def last_minute(self) -> dict[str, int]:
        """Queue -> jobs that ended in the last 60 seconds."""
        with self._lock:
            self._forget(int(self._clock()))
            total: Counter[str] = Counter()
            for _, counted in self._seconds:
                total.update(counted)
        return dict(total)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - _MINUTE:
            self._seconds.popleft()
