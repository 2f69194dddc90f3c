"""Owns the loop of a projector: read on from the checkpoint, apply, move it, and stop at every alarm."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from triton.errors import HoleError
from triton.events.log import Log
from triton.projections.checkpoint import Lease
from triton.projections.rows import Reading, RowReader

#: Events in one transaction of PostgreSQL at most.
BATCH: Final = 5000
#: Events in one read: a longer one would hold the server, and with it every writer of the log.
PAGE: Final = 1000
#: Rows between two chances for other tasks: a millisecond.
_SLICE: Final = 500
#: Milliseconds that one read waits for an event.
BLOCK_MS: Final = 1000


class Projection(Protocol):
    """What a projector fills."""

    #: The projector's name in `checkpoints`.
    name: str
    #: Seconds between two batches when there is no backlog: what makes batches of a steady trickle.
    pause: float
    #: Events that are applied together at most.
    batch: int

    async def open(self, lease: Lease) -> int | None:
        """Prepare for this lease. Answers the last position of a batch that a predecessor began and that
        must be applied as the same batch, or None."""

    async def prepare(self, rows: Sequence[Reading]) -> Any:
        """What `apply` takes: all of its work that needs no store, done while the batch before is under
        way. At least one row. Lets other tasks run every few milliseconds."""

    async def apply(self, lease: Lease, batch: Any, sent: asyncio.Event | None = None) -> None:
        """Write a prepared batch and move the lease's checkpoint to its last row, all or nothing.

        `sent` is set when the store works by itself, so that the next batch may take the processor.

        Raises FencedError, LogForkedError, UnavailableError and the drivers' errors.
        """

    def close(self) -> None:
        """Give back what `open` took, besides the lease."""


class _Read(NamedTuple):
    """Rows that were read; `batch` is None for no rows."""

    size: int
    #: Position of the last.
    last: int
    batch: Any


class Projector:
    """Brings one projection of one partition up to date, and keeps it there."""

    def __init__(
        self,
        log: Log,
        projection: Projection,
        lease: Lease,
        *,
        batch: int | None = None,
        block_ms: int = BLOCK_MS,
        pause: float | None = None,
    ) -> None:
        self.lease = lease
        self._log = log
        self._projection = projection
        self._partition = lease.partition
        self._batch = batch or projection.batch
        self._block_ms = block_ms
        self._pause = projection.pause if pause is None else pause
        self._reader = RowReader()
        self._renewed = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises LogForkedError, HoleError, ForeignEntryError, FencedError."""
        await self._log.validate(self._partition, self.lease.checkpoint)
        begun = await self._projection.open(self.lease)
        if begun is not None:
            await self._apply(await self._range(begun), None)
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        reading: asyncio.Future[Any] = asyncio.ensure_future(
            self._read(self.lease.checkpoint.position)
        )
        try:
            while not stop.is_set():
                await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                read: _Read = reading.result()
                if read.size == self._batch:
                    # A backlog: the next batch is read while the store works on this one.
                    sent = asyncio.Event()
                    reading = asyncio.ensure_future(self._read_ahead(read.last, sent))
                    await self._apply(read.batch, sent)
                    sent.set()
                    continue
                await self._apply(read.batch, None)
                if read.size and self._pause:
                    await asyncio.wait({stopping}, timeout=self._pause)
                reading = asyncio.ensure_future(self._read(read.last))
        finally:
            for task in (reading, stopping):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _apply(self, batch: Any, sent: asyncio.Event | None) -> None:
        # After reading, before applying: a failover between two reads must not pass unnoticed.
        await self._log.validate(self._partition, self.lease.checkpoint)
        now = time.monotonic()
        if batch is not None:
            await self._projection.apply(self.lease, batch, sent)
        elif now - self._renewed > self.lease.seconds / 3:
            await self.lease.renew()
        else:
            return
        self._renewed = now

    async def _read_ahead(self, after: int, sent: asyncio.Event) -> _Read:
        await sent.wait()
        return await self._read(after)

    async def _read(self, after: int) -> _Read:
        """What follows, as many as are there, up to a batch; waits for the first a little."""
        rows: list[Reading] = []
        size = min(PAGE, self._batch)
        entries = await self._log.wait(self._partition, after, block_ms=self._block_ms, count=size)
        while entries:
            for start in range(0, len(entries), _SLICE):
                rows += self._reader.read_all(entries[start : start + _SLICE])
                await asyncio.sleep(0)
            after = entries[-1].position
            size = min(PAGE, self._batch - len(rows))
            if len(entries) < PAGE or not size:
                break
            entries = await self._log.range(self._partition, after, count=size)
        return _Read(len(rows), after, await self._projection.prepare(rows) if rows else None)

    async def _range(self, until: int) -> Any:
        """Exactly what follows the checkpoint up to `until`, prepared."""
        after = self.lease.checkpoint.position
        entries = await self._log.range(
            self._partition, after, until=until, count=max(1, until - after)
        )
        if not entries or entries[-1].position != until:
            raise HoleError(
                f"positions {after + 1} to {until} of partition {self._partition} were read before, but "
                "the log does not hold them all any more",
                partition=self._partition,
                position=until,
            )
        return await self._projection.prepare(self._reader.read_all(entries))
