"""Owns what legal holds keep in Redis: the first entry under one and what follows, up to a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from triton.events.entries import Page
from triton.events.envelope import JOB, QUEUE, TENANT
from triton.events.log import Log
from triton.evidence.bounds import Bound
from triton.evidence.rows import HoldRow, Rows

#: Columns of a page by the scope of a hold.
_COLUMNS: Final = {"job": JOB, "tenant": TENANT, "queue": QUEUE}
_PAGE: Final = 1000


class LegalHolds:
    """Of one partition's log. Looks at each entry once, as long as the holds are the same.

    `hold_events`: how many of the newest events holds may keep; 0 keeps none. Older ones leave Redis although
    they are held: the archive keeps them.
    """

    def __init__(self, log: Log, rows: Rows, *, hold_events: int) -> None:
        self._log = log
        self._rows = rows
        self._hold_events = hold_events
        self._holds: list[HoldRow] = []
        #: No entry up to here is under a hold; and the first one that is, where it was found.
        self._clean = 0
        self._held: Bound | None = None

    async def __call__(self, partition: int, first: int, last: int) -> Sequence[Bound]:
        """The bound of the first entry under a hold between two positions; none where there is none."""
        holds = await self._rows.holds() if self._hold_events else []
        if holds != self._holds:
            self._holds, self._clean, self._held = holds, 0, None
        if not holds:
            return ()
        if self._held is None or self._held.position + 1 < first:
            self._held = await self._find(partition, max(first, self._clean + 1), last)
        if self._held is None:
            return ()
        room = await self._log.position(partition) - self._hold_events
        return (Bound(max(self._held.position, room), self._held.why),)

    async def _find(self, partition: int, first: int, last: int) -> Bound | None:
        at = first - 1
        while at < last:
            page = await self._log.page(partition, at, until=last, count=_PAGE)
            if page is None:
                break
            found = [one for hold in self._holds if (one := _first_of(page, hold))]
            if found:
                self._clean = min(found).position
                return min(found)
            at = self._clean = page.positions[-1]
        return None


def _first_of(page: Page, hold: HoldRow) -> Bound | None:
    """What a hold leaves of a page."""
    name, scope, value = hold
    try:
        index = page.columns[_COLUMNS[scope]].index(value.encode())
    except ValueError:
        return None
    return Bound(page.positions[index] - 1, f"hold {name}")
