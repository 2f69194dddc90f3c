"""Owns what is logged as slow: calls of engines and jobs above a threshold, with ids and without values."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from triton.observe.logger import get_logger

#: Seconds within which the same thing is told once; the next line says how many others there were.
PAUSE: Final = 10.0
#: Things that are remembered for that at most.
_KNOWN: Final = 1_000
#: Characters of a statement at most.
_STATEMENT: Final = 400
_log: Final = get_logger("triton.slow")


class Rarely:
    """Says of each thing how often it may be told. `clock` gives monotonic seconds. For any thread."""

    def __init__(self, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        #: When each was told, and how many were not since.
        self._told: dict[object, tuple[float, int]] = {}

    def turn(self, thing: object) -> int | None:
        """None where it is not to be told now; else how many were not told since it was last."""
        now = self._clock()
        with self._lock:
            at, missed = self._told.get(thing, (-math.inf, 0))
            if now - at < self._pause:
                self._told[thing] = at, missed + 1
                return None
            if len(self._told) >= _KNOWN and thing not in self._told:
                self._told.clear()
            self._told[thing] = now, 0
            return missed


class Calls:
    """The calls of engines that one process makes. `seconds` is infinite until somebody sets a threshold."""

    def __init__(self) -> None:
        self.seconds = math.inf
        self._rarely = Rarely()

    def since(self, begun: float, engine: str, statement: str, **values: Any) -> None:
        """Log a call that began at `begun` (perf_counter seconds) if it took too long."""
        took = time.perf_counter() - begun
        if took < self.seconds:
            return
        statement = " ".join(statement.split())[:_STATEMENT]
        missed = self._rarely.turn((engine, statement))
        if missed is not None:
            more = {"others": missed} if missed else {}
            _log.warning(
                "slow_query",
                engine=engine,
                ms=round(took * 1000, 1),
                statement=statement,
                **values,
                **more,
            )

    def scripts(self, begun: float, names: Sequence[str]) -> None:
        """The same of a trip with script calls."""
        if time.perf_counter() - begun >= self.seconds:
            self.since(begun, "redis", "EVALSHA " + "+".join(sorted(set(names))), calls=len(names))


#: Of this process; a role sets its threshold when it begins.
calls: Final = Calls()


class Limits(NamedTuple):
    """Of an actor: seconds that a job may run, and microseconds that it may be ready and wait."""

    run: float
    wait: float


def limits_of(options: dict[str, Any], run_ms: float, wait_ms: float) -> Limits:
    """An actor's limits: what it declares as `slow_run_ms` and `slow_wait_ms`, else these; 0 is none.

    Raises ValueError for what is no number of milliseconds.
    """
    run = _milliseconds(options, "slow_run_ms", run_ms)
    wait = _milliseconds(options, "slow_wait_ms", wait_ms)
    return Limits(run / 1000 or math.inf, wait * 1000 or math.inf)


class Jobs:
    """The jobs that one worker process runs. Of a long queue every job waits: that is told rarely."""

    def __init__(self) -> None:
        self._rarely = Rarely()

    def waited(self, actor: str, queue: str, microseconds: float, limit: float) -> None:
        missed = self._rarely.turn((actor, queue))
        if missed is not None:
            more = {"others": missed} if missed else {}
            _log.warning(
                "slow_start",
                waited_ms=round(microseconds / 1000),
                limit_ms=round(limit / 1000),
                **more,
            )

    def ran(self, seconds: float, limit: float) -> None:
        _log.warning("slow_job", ran_ms=round(seconds * 1000), limit_ms=round(limit * 1000))


def _milliseconds(options: dict[str, Any], name: str, default: float) -> float:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}, expected milliseconds, 0 for none")
    return float(value)
