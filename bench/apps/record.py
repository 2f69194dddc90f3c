"""Owns what a no-op job leaves behind: when it was sent and when it started, in one shared file."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

FILE = "BENCH_RECORD"
URL = "BENCH_REDIS_URL"
_PAIR = struct.Struct("dd")


def recorder() -> Callable[[float], None]:
    """Takes the time (monotonic seconds) at which a job was sent; 0 is not recorded."""
    fd = os.open(os.environ[FILE], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def record(sent: float) -> None:
        if sent:
            os.write(fd, _PAIR.pack(sent, time.monotonic()))

    return record


class Record:
    """The file, as the bench reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def count(self) -> int:
        return self.path.stat().st_size // _PAIR.size

    def latencies(self, skip: int) -> list[float]:
        """Milliseconds from send to start of every job after the first `skip`."""
        raw = self.path.read_bytes()[skip * _PAIR.size :]
        return [(started - sent) * 1000 for sent, started in _PAIR.iter_unpack(raw)]

    def wait(self, count: int, *, timeout: float) -> None:
        """Returns when `count` jobs have started. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while (found := self.count()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{found} of {count} jobs started within {timeout} s")
            time.sleep(0.005)
