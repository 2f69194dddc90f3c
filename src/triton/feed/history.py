"""Owns the pages of one job's past as subscribers and requests are shown them.

Each event is shown from its exact entry, be it in Redis or in the archive; one whose entry cannot be read is
shown as the index in PostgreSQL has it. Every page says up to which position it is complete, so pages join
without a gap, to one another and to the ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from triton.errors import EvidenceError, UnavailableError
from triton.events.entries import Entry
from triton.events.envelope import Event
from triton.events.render import Shown, show, show_entry
from triton.history.of_job import job_page
from triton.history.whole import WholeLog

#: Events of one page.
PAGE: Final = 500
#: Pages that are read at the same time: one client with a long past must not hold up all others.
_AT_ONCE: Final = 8


class Page(NamedTuple):
    """The job's events after some position up to `position`, all of them."""

    events: list[Shown]
    position: int


class History:
    """Reads for every stream and request of one process. `log` gives the log of a partition as it was last
    opened, with its past."""

    def __init__(self, log: Callable[[int], WholeLog], source: str) -> None:
        self._log = log
        self._source = source
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def page(
        self,
        job: str,
        partition: int,
        after: int,
        *,
        version: int = 0,
        until: int,
        limit: int = PAGE,
    ) -> Page:
        """The next events of the job after a position, and after a version where that is known.

        Looks up to `until` at most where the index does not help; one page may be empty although more
        follows, as long as its position is below `until`. Raises HoleError where neither Redis nor the
        archive nor the index has what follows, UnavailableError where the archive has to be asked and
        cannot be, RedisError.
        """
        async with self._turn:
            try:
                found, position = await job_page(
                    self._log(partition), job, after, version=version, until=until, limit=limit
                )
            except EvidenceError as error:
                raise UnavailableError(error.message, **error.details) from error
            return Page([self._shown(one) for one in found], position)

    def _shown(self, one: Entry | Event) -> Shown:
        if isinstance(one, Event):
            return show(one, self._source)
        return show_entry(one, self._source)
