"""Owns what ends an attempt from outside or at its own wish, as exceptions that an actor can catch."""

from __future__ import annotations

from typing import Final

from dramatiq.errors import Retry
from dramatiq.threading import Interrupt

#: Milliseconds that the log's times have room for.
_LONGEST: Final = 2**53 // 1000


class CancelRequested(Interrupt):
    """Raised inside an actor whose job somebody asked to cancel. Catch it to clean up, then let it go."""


class LeaseLost(Interrupt):
    """Raised inside an actor whose lease went to another worker: whatever it reports is refused."""


class SoftTimeLimit(Interrupt):
    """Raised inside an actor at its soft time limit: there is time to clean up before the hard one."""


class Snooze(Retry):
    """Raise it in an actor to be run again after `delay` milliseconds; that counts as no failure.

    No callback follows from it. (Under another broker it is an ordinary Dramatiq `Retry`.)
    """

    delay: int

    def __init__(self, delay: int, reason: str = "") -> None:
        if not 0 <= delay <= _LONGEST:
            raise ValueError(
                f"delay is {delay}, expected milliseconds from now, from 0 to {_LONGEST}"
            )
        super().__init__(f"snoozed for {delay} ms{': ' if reason else ''}{reason}", delay)
        self.reason = reason
