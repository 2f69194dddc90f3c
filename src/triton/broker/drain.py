"""Owns the end of a worker process by a signal: what runs may end in time, the rest goes back at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from dramatiq import Middleware, Worker
from dramatiq.broker import Broker

from triton.observe.logger import get_logger

#: Seconds beyond the time to drain in which outcomes are committed, before the process ends regardless.
_BEYOND: Final = 15.0
_SIGNALS: Final = ("SIGTERM", "SIGHUP")
_log: Final = get_logger("triton.worker")


class Drain(Middleware):
    """Ends the process at SIGTERM and SIGHUP: in its `drain_ms`, jobs that run may end; those that have
    not are released, and their next attempt begins elsewhere.

    Dramatiq's own loop looks for a signal's trace once a second; this acts in the signal's handler. The
    process ends in bounded time, also when Redis is away or a thread of the application hangs.
    """

    def __init__(self, drain_ms: int, exit_now: Callable[[int], None] = os._exit) -> None:
        self._drain_ms = drain_ms
        self._exit_now = exit_now

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002
        # How long its threads sleep where there is nothing to do, so how long they take to end.
        worker.worker_timeout = min(worker.worker_timeout, 100)

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        if threading.current_thread() is not threading.main_thread():
            # Only there can handlers be set; a worker in another thread is ended by who began it.
            return

        def end(number: int, _: FrameType | None) -> None:
            for name in _SIGNALS:
                signal.signal(getattr(signal, name), signal.SIG_IGN)
            _log.info("draining", signal=signal.Signals(number).name, ms=self._drain_ms)
            limit = threading.Timer(self._drain_ms / 1000 + _BEYOND, self._exit_now, [1])
            limit.daemon = True
            limit.start()
            worker.stop(timeout=self._drain_ms)
            broker.close()
            raise SystemExit(0)

        for name in _SIGNALS:
            signal.signal(getattr(signal, name), end)
