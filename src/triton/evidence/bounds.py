"""Owns how much of a log may leave Redis: the least of several bounds, each with its reason.

They are: sealed in the archive, before every checkpoint, the newest events and the youngest ones, holds. The
entry that a checkpoint stands on stays, because forks are seen by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from triton.events.client import server_time
from triton.events.envelope import AT
from triton.events.log import Log
from triton.evidence.rows import Rows


class Bound(msgspec.Struct, frozen=True, order=True):
    """The last position that may leave Redis for one reason."""

    position: int
    #: `archive`, `newest`, `youngest`, `hold NAME`, or a projector's name.
    why: str


class Holds(Protocol):
    """Whoever can keep events in Redis."""

    async def __call__(self, partition: int, first: int, last: int) -> Sequence[Bound]:
        """The bounds for a partition, of which no more than `first` to `last` may leave for other reasons;
        none where nothing is held."""


class Bounds:
    """Of one partition's log. `projectors`: those that must have read an entry, also where one never ran."""

    def __init__(
        self,
        log: Log,
        rows: Rows,
        *,
        projectors: Sequence[str],
        keep_events: int,
        keep_ms: int,
        holds: Sequence[Holds] = (),
    ) -> None:
        self._log = log
        self._rows = rows
        self._projectors = projectors
        self._keep_events = keep_events
        self._keep_ms = keep_ms
        self._holds = holds
        self._partition = rows.tree.partition
        self._epoch = rows.tree.epoch

    async def find(self, first: int) -> list[Bound]:
        """The last position that may leave, for each reason. `first`: the first one in Redis."""
        sealed = await self._rows.last()
        archived = sealed.last if sealed else 0
        end = await self._log.position(self._partition)
        found = [
            Bound(archived, "archive"),
            Bound(end - self._keep_events, "newest"),
            *await self._checkpoints(),
        ]
        # Found by looking: no more than is needed.
        for holds in self._holds:
            if min(found).position >= first:
                found += await holds(self._partition, first, min(found).position)
        if min(found).position >= first:
            found.append(Bound(await self._aged(first, min(found).position), "youngest"))
        return found

    async def _checkpoints(self) -> list[Bound]:
        """Every projector keeps the entry that it stands on; one that never ran keeps all."""
        rows = {name: (epoch, position) for name, epoch, position in await self._rows.checkpoints()}
        found = []
        for name in {*rows, *self._projectors}:
            epoch, position = rows.get(name, ("", 0))
            found.append(Bound(position - 1 if epoch == self._epoch else 0, name))
        return found

    async def _aged(self, first: int, last: int) -> int:
        """The last position up to `last` that is old enough, by the server's clock: times never fall."""
        newest = await server_time(self._log.client) - self._keep_ms * 1000
        low, high = first - 1, last
        while low < high:
            middle = (low + high + 1) // 2
            entry = await self._log.entry(self._partition, middle)
            if entry is not None and int(entry.value(AT)) <= newest:
                low = middle
            else:
                high = middle - 1
        return low
