"""Owns the loop of a projector: read on from the checkpoint, apply, move it, and stop at every alarm."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import Any, Final, NamedTuple, Protocol

from triton.checkpoints.lease import Lease
from triton.errors import ExpiredError, HoleError
from triton.events.entries import Page
from triton.events.log import Checkpoint
from triton.observe.logger import get_logger
from triton.observe.signs import Part
from triton.projections.rows import Piece, RowReader

#: Events in one read: a longer one would hold the server, and with it every writer of the log. And so many
#: are rendered before other tasks, above all the sending of the batch before, have their turn: a millisecond.
PAGE: Final = 500
#: Pages that are asked for while one is read. What came of more of them would have left the cache before
#: its turn.
_AHEAD: Final = 1
#: Bytes of data after which a batch ends: it must fit into memory, and into one request to a store.
_BYTES: Final = 32 * 1024 * 1024
#: Milliseconds that one read waits for an event.
BLOCK_MS: Final = 1000


class Source(Protocol):
    """What a projector reads: the log, or whatever answers as it does."""

    async def page(
        self, partition: int, after: int, *, until: int | None = None, count: int = PAGE
    ) -> Page | None:
        """Up to `count` entries at positions after+1, after+2, ... (at most `until`), or None for none.
        Raises HoleError, ForeignEntryError."""

    async def wait_page(
        self, partition: int, after: int, *, block_ms: int, count: int = PAGE
    ) -> Page | None:
        """The same, but waits up to so many milliseconds for the first entry."""

    async def validate(self, partition: int, checkpoint: Checkpoint) -> None:
        """Raises LogForkedError, HoleError where what was read up to a checkpoint is not there any more."""


class Projection(Protocol):
    """What a projector fills."""

    #: The projector's name in `checkpoints`.
    name: str
    #: Seconds between two batches when there is no backlog: what makes batches of a steady trickle.
    pause: float
    #: Events that are applied together at most.
    batch: int

    @property
    def form(self) -> Callable[[bytes], bytes]:
        """How the store takes JSON."""

    async def open(self, lease: Lease) -> int | None:
        """Prepare for this lease. Answers the last position of a batch that a predecessor began and that
        must be applied as the same batch, or None."""

    async def prepare(self, pieces: AsyncIterable[Piece]) -> Any:
        """What `apply` takes: all of its work that needs no store, done while the batch before is under
        way, and piece by piece as they come: what was just read is still at hand. At least one piece."""

    async def apply(self, lease: Lease, batch: Any) -> None:
        """Write a prepared batch and move the lease's checkpoint to its last row, all or nothing.

        Raises FencedError, LogForkedError, UnavailableError and the drivers' errors.
        """

    def close(self) -> None:
        """Give back what `open` took, besides the lease."""


class _Read(NamedTuple):
    """What was read. `batch` is None for nothing."""

    #: Whether there is more.
    more: bool
    #: Of the last entry.
    end: Checkpoint
    batch: Any


class Projector:
    """Brings one projection of one partition up to date, and keeps it there."""

    def __init__(
        self,
        log: Source,
        projection: Projection,
        lease: Lease,
        *,
        batch: int | None = None,
        block_ms: int = BLOCK_MS,
        pause: float | None = None,
        part: Part | None = None,
    ) -> None:
        self.lease = lease
        self._part = part or Part()
        self._log = log
        self._projection = projection
        self._partition = lease.partition
        self._batch = batch or projection.batch
        self._block_ms = block_ms
        self._pause = projection.pause if pause is None else pause
        self._reader = RowReader(projection.form)
        self._size = min(PAGE, self._batch)
        self._heavy = False
        self._renewed = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises LogForkedError, HoleError, ForeignEntryError, FencedError."""
        await self._log.validate(self._partition, self.lease.checkpoint)
        begun = await self._projection.open(self.lease)
        if begun is not None:
            await self._apply(await self._begun(begun))
        await self._pass_expired()
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        reading: asyncio.Future[Any] = asyncio.ensure_future(self._read(self.lease.checkpoint))
        try:
            while not stop.is_set():
                await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                read: _Read = reading.result()
                self._part.moved()
                if read.more:
                    # The next batch is read and prepared while the store works on this one.
                    reading = asyncio.ensure_future(self._read(read.end))
                    await self._apply(read.batch)
                    continue
                await self._apply(read.batch)
                if read.batch is not None and self._pause:
                    await asyncio.wait({stopping}, timeout=self._pause)
                reading = asyncio.ensure_future(self._read(read.end))
        finally:
            for task in (reading, stopping):
                await _ended(task)

    async def _pass_expired(self) -> None:
        """A store that is made anew, or came back from a copy, goes on behind what has expired meanwhile."""
        at = self.lease.checkpoint
        try:
            await self._log.page(self._partition, at.position, count=1)
        except ExpiredError as error:
            until = int(error.details["until"])
            await self.lease.advance(until, "")
            self.lease.checkpoint = Checkpoint(at.epoch, until, "")
            get_logger("triton.projector").warning(
                "projector.expired",
                projector=self.lease.projector,
                partition=self._partition,
                error=error.message,
                goes_on_at=until + 1,
            )

    async def _apply(self, batch: Any) -> None:
        now = time.monotonic()
        if batch is not None:
            await self._projection.apply(self.lease, batch)
        elif now - self._renewed > self.lease.seconds / 3:
            await self.lease.renew()
        else:
            return
        self._renewed = now

    async def _read(self, begin: Checkpoint) -> _Read:
        """What follows, as many as are there, up to a batch; waits for the first a little.

        The first batch of a backlog is small, so that the store begins at once; each next one is four
        times as large.
        """
        count = min(PAGE, self._size)
        page = await self._log.wait_page(
            self._partition, begin.position, block_ms=self._block_ms, count=count
        )
        size, last, batch = 0, None, None
        self._heavy = False

        async def counted(pieces: AsyncIterable[Piece]) -> AsyncIterator[Piece]:
            nonlocal size, last
            async for piece in pieces:
                size += piece.size
                last = piece.last
                yield piece

        if page is not None:
            async with contextlib.aclosing(self._pieces(page, self._size)) as pieces:
                batch = await self._projection.prepare(counted(pieces))
        # After reading, before applying: a failover between two reads must not pass unnoticed.
        await self._log.validate(self._partition, begin)
        more = size == self._size or self._heavy
        self._size = min(self._batch, 4 * self._size if more else PAGE)
        end = Checkpoint(begin.epoch, last.position, last.digest()) if last is not None else begin
        return _Read(more, end, batch)

    async def _pieces(self, page: Page, size: int) -> AsyncGenerator[Piece]:
        """A page and the full ones that follow it at once, up to so many entries in all, or so much data.

        Positions are dense, so the next pages can be asked for before this one came: the server works on
        them while this one is read.
        """
        found: Page | None = page
        left = _BYTES
        asked = page.positions[-1]
        end = page.positions[0] + size - 1
        ahead: deque[asyncio.Future[Page | None]] = deque()
        try:
            while found is not None:
                weight = found.weight
                left -= weight
                self._heavy = left <= 0
                while (
                    found.size == PAGE
                    and len(ahead) < _AHEAD
                    and asked < end
                    # Those that were asked for may be as heavy.
                    and left > len(ahead) * weight
                ):
                    count = min(PAGE, end - asked)
                    coming = self._log.page(self._partition, asked, count=count)
                    ahead.append(asyncio.ensure_future(coming))
                    asked += count
                await asyncio.sleep(0)
                for piece in self._reader.read(found):
                    yield piece
                # After a page that is not full the log ended; what was asked for may have been added since.
                found = await ahead.popleft() if found.size == PAGE and ahead else None
        finally:
            for task in ahead:
                await _ended(task)

    async def _begun(self, until: int) -> Any:
        """Exactly what follows the checkpoint up to `until`, prepared."""
        if until <= self.lease.checkpoint.position:
            return None
        async with contextlib.aclosing(self._exactly(until)) as pieces:
            return await self._projection.prepare(pieces)

    async def _exactly(self, until: int) -> AsyncGenerator[Piece]:
        after = at = self.lease.checkpoint.position
        while at < until:
            page = await self._log.page(self._partition, at, until=until, count=PAGE)
            if page is None:
                raise HoleError(
                    f"positions {after + 1} to {until} of partition {self._partition} were read before, "
                    "but the log does not hold them all any more",
                    partition=self._partition,
                    position=until,
                )
            for piece in self._reader.read(page):
                yield piece
            at = page.positions[-1]


async def _ended(task: asyncio.Future[Any]) -> None:
    """Ends a task, whatever it says."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
