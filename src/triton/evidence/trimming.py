"""Owns trimming: what may leave Redis leaves it, exactly, and nothing else does.

The server itself checks epoch and entry in the step that trims. With its last event goes the head of a
completed job, once its result was there for long enough.
"""

from __future__ import annotations

from typing import Final

from triton.errors import LogForkedError
from triton.events.client import send_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.evidence.bounds import Bounds
from triton.evidence.ledger import Ledger
from triton.evidence.source import Source
from triton.observe.logger import get_logger

#: Entries that one call takes: bounds the pause.
MOST: Final = 1000


class Trimmer:
    """Trims one partition's log."""

    def __init__(
        self,
        log: Log,
        ledger: Ledger,
        source: Source,
        bounds: Bounds,
        scripts: Scripts,
        *,
        result_ms: int,
    ) -> None:
        self._log = log
        self._ledger = ledger
        self._source = source
        self._scripts = scripts
        self._bounds = bounds
        self._result_ms = result_ms
        self._partition = ledger.tree.partition
        self._epoch = ledger.tree.epoch
        self._say = get_logger("triton.archiver").bind(partition=self._partition)

    async def step(self) -> int:
        """Trim what may leave. How many entries left. Raises LogForkedError."""
        first = await self._log.first_position(self._partition)
        if not first:
            return 0
        bound = min(await self._bounds.find(first))
        if bound.position < first:
            return 0
        taken = await self._trim(first, bound.position)
        if taken:
            await self._ledger.trimmed(bound.position)
            self._say.info("archiver.trimmed", to=bound.position, events=taken, held_by=bound.why)
        return taken

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
