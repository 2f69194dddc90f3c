"""crash_app on a slow machine: a process takes its time to tell the `dramatiq` command that it is up."""

from __future__ import annotations

import multiprocessing.synchronize
import time
from typing import Any

from crash_app import *  # noqa: F403


def _slowly(self: Any) -> None:
    # As it is, but for the time under the lock that the command needs to go on.
    with self._cond:
        self._flag.acquire(False)
        self._flag.release()
        time.sleep(0.05)
        self._cond.notify_all()


multiprocessing.synchronize.Event.set = _slowly  # type: ignore[method-assign]
