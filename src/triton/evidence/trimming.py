"""Owns trimming: what may leave Redis, and that nothing else does.

The log is trimmed exactly, to the least of: sealed in the archive, before every checkpoint, the newest
events and the youngest ones, holds. The entry that a checkpoint stands on stays, because forks are seen by
it; and the server checks epoch and entry itself in the step that trims. With its last event goes the head of
a completed job, once its result was there for long enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog

from triton.errors import LogForkedError
from triton.events.client import send_async, server_time
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.evidence.ledger import Ledger
from triton.evidence.source import Source

#: Entries that one call takes: bounds the pause.
MOST: Final = 1000


class Bound(msgspec.Struct, frozen=True, order=True):
    """The last position that may leave Redis for one reason."""

    position: int
    #: `archive`, `newest`, `youngest`, `hold NAME`, or a projector's name.
    why: str


class Holds(Protocol):
    """Whoever can keep events in Redis."""

    async def __call__(self, partition: int) -> Sequence[Bound]:
        """The bounds for a partition; none where nothing is held."""


class Trimmer:
    """Trims one partition's log."""

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        source: Source,
        scripts: Scripts,
        *,
        projectors: Sequence[str],
        keep_events: int,
        keep_ms: int,
        result_ms: int,
        holds: Sequence[Holds] = (),
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._source = source
        self._scripts = scripts
        self._projectors = projectors
        self._keep_events = keep_events
        self._keep_ms = keep_ms
        self._result_ms = result_ms
        self._holds = holds
        self._partition = ledger.tree.partition
        self._epoch = ledger.tree.epoch
        self._say = structlog.get_logger("triton.archiver").bind(partition=self._partition)

    async def step(self) -> int:
        """Trim what may leave. How many entries left. Raises LogForkedError."""
        first = await self._log.first_position(self._partition)
        if not first:
            return 0
        bound = min(await self.bounds(first))
        if bound.position < first:
            return 0
        taken = await self._trim(first, bound.position)
        if taken:
            await self._ledger.trimmed(bound.position)
            self._say.info("archiver.trimmed", to=bound.position, events=taken, held_by=bound.why)
        return taken

    async def bounds(self, first: int) -> list[Bound]:
        """The last position that may leave, for each reason. `first`: the first one in Redis."""
        sealed = await self._ledger.last()
        archived = sealed.last if sealed else 0
        end = await self._log.position(self._partition)
        found = [
            Bound(archived, "archive"),
            Bound(end - self._keep_events, "newest"),
            *await self._checkpoints(),
        ]
        for holds in self._holds:
            found += await holds(self._partition)
        # Found by looking: no more than is needed.
        if min(found).position >= first:
            found.append(Bound(await self._aged(first, min(found).position), "youngest"))
        return found

    async def _checkpoints(self) -> list[Bound]:
        """Every projector keeps the entry that it stands on; one that never ran keeps all."""
        rows = {
            name: (epoch, position) for name, epoch, position in await self._ledger.checkpoints()
        }
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
            if entry is not None and int(entry.fields[9]) <= newest:
                low = middle
            else:
                high = middle - 1
        return low

    async def _trim(self, first: int, to: int) -> int:
        """Trim from one position up to another that is sealed, in steps. How many entries left."""
        values = await self._source.values(to)
        prefix = self._log.prefix(self._partition)
        gone = first - 1
        while gone < to:
            call = self._scripts.trim(
                prefix,
                to,
                most=MOST,
                epoch=self._epoch,
                values=values,
                grace_ms=self._result_ms,
            )
            (gone,) = await send_async(self._log.client, [call])
            if gone < 0:
                raise self._forked(to)
        return to - first + 1

    def _forked(self, position: int) -> LogForkedError:
        return LogForkedError(
            f"partition {self._partition} does not hold at {position} what is in its archive: nothing was "
            "trimmed; find out why (a failover that lost its tail?), then run `triton log adopt`",
            partition=self._partition,
            position=position,
        )
