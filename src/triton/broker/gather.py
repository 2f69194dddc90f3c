"""Owns how many outcomes a trip waits for while there is a backlog. Pure.

A trip costs the worker and the server as much as two jobs, whatever it carries; so under load it pays to let
the jobs that are about to end go together. Jobs that run for long must not hold up those that do not.
"""

from __future__ import annotations

from typing import Final

#: Seconds that a trip is held back at most.
LONGEST: Final = 0.001
#: Trips until it is tried again to wait for more than came the last time.
_AGAIN: Final = 32


class Gather:
    """Learns from each trip how many outcomes come within LONGEST."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._trips = 0

    def wanted(self, held: int) -> int:
        """How many outcomes to wait for while `held` jobs are held, those that ended included."""
        if self._limit is None:
            return held
        self._trips += 1
        if self._trips >= _AGAIN:
            self._limit = None
            return held
        return min(held, self._limit)

    def came(self, outcomes: int, wanted: int) -> None:
        """So many came in time."""
        if outcomes < wanted:
            self._limit, self._trips = max(1, outcomes), 0
