"""Owns what a running job has said and what of it is due for the log: coalescing, order, numbers.

Progress is sent at most every PROGRESS_INTERVAL seconds, the latest wins; output is joined for up to
OUTPUT_INTERVAL seconds or OUTPUT_SIZE characters. Output keeps its order, progress keeps its order; one
may overtake the other by an interval. Everything is sent before the job's outcome.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple, TypeAlias

from triton.events.codec import storable
from triton.events.scripts import Packed, pack_report
from triton.events.types import Output, Progressed, StepCompleted

PROGRESS_INTERVAL: Final = 0.1
OUTPUT_INTERVAL: Final = 0.05
#: Large enough that time and not size makes the entries of all but floods: about twenty a second.
OUTPUT_SIZE: Final = 16 * 1024


_Report: TypeAlias = Progressed | Output | StepCompleted


class Said(NamedTuple):
    """One report on its way to the log. The receipt, where there is one, gets the script's answer."""

    packed: Packed
    receipt: Future[str] | None = None


class Reports:
    """The unsent reports of one attempt.

    `clock` is monotonic seconds. `wake(at)` is called, outside the lock, with the time at which something
    is due. `seal` seals what is personal in a report, where anything is.
    """

    def __init__(
        self,
        job: str,
        attempt: int,
        by: str,
        *,
        wake: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        seal: Callable[[_Report], _Report] | None = None,
    ) -> None:
        self._job = job
        self._attempt = attempt
        self._by = by
        self._clock = clock
        self._wake = wake
        self._seal = seal
        self._lock = threading.Lock()
        self._seq = 0
        self._ready: list[Said] = []
        self._progress: Progressed | None = None
        self._progress_sent = float("-inf")
        self._chunks: list[str] = []
        self._chunks_since = 0.0
        self._size = 0

    def progress(self, percent: float, stage: str) -> None:
        with self._lock:
            self._progress = Progressed(percent=percent, stage=storable(stage))
            due = self._progress_sent + PROGRESS_INTERVAL
        self._wake(due)

    def output(self, chunk: str) -> None:
        with self._lock:
            now = self._clock()
            if not self._chunks:
                self._chunks_since = now
            self._chunks.append(chunk)
            self._size += len(chunk)
            due = now if self._size >= OUTPUT_SIZE else self._output_due()
        self._wake(due)

    def step(self, data: StepCompleted) -> Future[str]:
        """Say at once that a step is done. Answers the receipt for it."""
        receipt: Future[str] = Future()
        # Whoever stops waiting must not take it away from the pump, which sets it later.
        receipt.set_running_or_notify_cancel()
        with self._lock:
            self._close_progress()
            self._close_output()
            self._append(data, receipt)
        self._wake(self._clock())
        return receipt

    def take(self, *, everything: bool = False) -> list[Said]:
        """The reports that are due, in order; `everything` before the outcome."""
        with self._lock:
            now = self._clock()
            if everything or now >= self._progress_sent + PROGRESS_INTERVAL:
                self._close_progress()
            if everything or self._size >= OUTPUT_SIZE or now >= self._output_due():
                self._close_output()
            ready, self._ready = self._ready, []
            return ready

    def due(self) -> float | None:
        """When something is to be sent next, or None."""
        with self._lock:
            if self._ready:
                return self._clock()
            times = []
            if self._progress is not None:
                times.append(self._progress_sent + PROGRESS_INTERVAL)
            if self._chunks:
                times.append(self._output_due())
            return min(times, default=None)

    def _output_due(self) -> float:
        return self._chunks_since + OUTPUT_INTERVAL

    def _close_progress(self) -> None:
        if self._progress is not None:
            self._append(self._progress)
            self._progress = None
            self._progress_sent = self._clock()

    def _close_output(self) -> None:
        if self._chunks:
            text = storable("".join(self._chunks))
            # One entry stays well below the log's limit, whatever was put out at once.
            for start in range(0, len(text), OUTPUT_SIZE * 2):
                self._append(Output(chunk=text[start : start + OUTPUT_SIZE * 2]))
            self._chunks = []
            self._size = 0

    def _append(self, data: _Report, receipt: Future[str] | None = None) -> None:
        self._seq += 1
        if self._seal is not None:
            data = self._seal(data)
        packed = pack_report(self._job, self._attempt, self._seq, self._by, data)
        self._ready.append(Said(packed, receipt))
