"""Owns when which fault comes, from a seed, and what of it was seen: taken back when, recovered when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from soak.faults import FAULTS, Done
from soak.gauges import Gauges, Readings
from soak.platform import Platform
from soak.records import Injected, now

#: Seconds between two faults, at least and at most.
PAUSE: Final = (0.3, 1.7)
#: Seconds that a row may wait in the outbox of a platform that works.
_FRESH: Final = 1.0


class _Open(msgspec.Struct, kw_only=True):
    injected: Injected
    done: Done
    #: What the log held when the fault began.
    position: int
    #: Monotonic seconds at which it is taken back.
    until: float
    undone: bool = False


class Schedule:
    """The only one who hurts a platform. `step` is called often and never waits."""

    def __init__(
        self, platform: Platform, gauges: Gauges, seed: int, only: Sequence[str] = ()
    ) -> None:
        self.injected: list[Injected] = []
        self._platform = platform
        self._gauges = gauges
        self._chance = Random(seed)
        self._names = [name for name in FAULTS if not only or name in only]
        self._weights = [FAULTS[name][0] for name in self._names]
        self._next = time.monotonic() + 1.0
        self._open: list[_Open] = []

    def step(self, *, more: bool = True) -> None:
        """Take back what is over, look what works again, and with `more` begin the next fault."""
        readings = self._gauges.read()
        for each in self._open:
            self._follow(each, readings)
        self._open = [e for e in self._open if not (e.undone and e.injected.recovered)]
        if more and time.monotonic() >= self._next:
            self._begin(readings)
            self._next = time.monotonic() + self._chance.uniform(*PAUSE)

    def end(self) -> None:
        """Take everything back now."""
        for each in self._open:
            self._undo(each)
        self._platform.tell_proxy("chance 0")

    @property
    def settled(self) -> bool:
        """Whether everything that was hurt works again."""
        return not self._open

    def _begin(self, readings: Readings) -> None:
        (name,) = self._chance.choices(self._names, self._weights)
        # Told apart, so that a fault that cannot be done now does not move those that follow.
        own = Random(self._chance.random())
        begun = now()
        done = FAULTS[name][1](self._platform, own)
        if done is None:
            return
        injected = Injected(kind=name, target=done.target, begun=begun, pids=done.pids)
        self.injected.append(injected)
        self._open.append(
            _Open(
                injected=injected,
                done=done,
                position=readings.last_log,
                until=time.monotonic() + done.lasts,
            )
        )

    def _follow(self, each: _Open, readings: Readings) -> None:
        if not each.undone:
            if time.monotonic() < each.until:
                return
            self._undo(each)
            if each.done.lasts:
                each.position = readings.last_log
            return
        if _works(each, readings):
            each.injected.recovered = now()

    def _undo(self, each: _Open) -> None:
        if not each.undone:
            if each.done.undo is not None:
                each.done.undo()
            each.undone = True
            each.injected.ended = now()


def _works(each: _Open, readings: Readings) -> bool:
    """Whether the part that a fault has hit does again what it is for."""
    match each.done.gauge:
        case "none":
            return True
        case "log":
            return readings.log > each.position
        case "outbox":
            # The application goes on writing rows; that some are taken is seen by the oldest.
            return readings.outbox_age < _FRESH
        case "archive":
            return readings.archive >= each.position
        case "api":
            return readings.api
        case "postgres":
            return readings.postgres >= each.position
        case "clickhouse":
            return readings.clickhouse >= each.position
