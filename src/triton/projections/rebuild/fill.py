"""Owns bringing a shadow up to positions of the log: projectors like the live ones, until they are there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import psycopg

from triton.checkpoints.lease import LEASE_SECONDS, Lease, new_owner
from triton.errors import ConflictError
from triton.events.entries import Page
from triton.events.log import Checkpoint
from triton.postgres import Connection, connected
from triton.projections.projector import PAGE, Projector, Source
from triton.projections.rebuild.shadow import Shadow, inside
from triton.projections.rebuild.target import Target

#: Partitions that are filled at the same time.
_AT_ONCE: Final = 4
#: Seconds between two looks at how far a projector is.
_LOOK: Final = 0.005

#: Told of a partition and the position that it has reached.
Reached = Callable[[int, int], None]


def _nobody(_: int, __: int) -> None:
    """Nobody is told."""


class Bounded:
    """A Source that ends at a position of each partition, whatever is there behind it."""

    def __init__(self, source: Source, ends: Mapping[int, int]) -> None:
        self._source = source
        self._ends = ends

    async def page(
        self, partition: int, after: int, *, until: int | None = None, count: int = PAGE
    ) -> Page | None:
        end = self._ends[partition] if until is None else min(until, self._ends[partition])
        if after >= end:
            return None
        return await self._source.page(partition, after, until=end, count=count)

    async def wait_page(
        self, partition: int, after: int, *, block_ms: int, count: int = PAGE
    ) -> Page | None:
        if after >= self._ends[partition]:
            await asyncio.sleep(block_ms / 1000)
        return await self.page(partition, after, count=count)

    async def validate(self, partition: int, checkpoint: Checkpoint) -> None:
        await self._source.validate(partition, checkpoint)


async def fill(
    source: Source,
    epochs: Mapping[int, str],
    database_url: str,
    target: Target,
    shadow: Shadow,
    ends: Mapping[int, int],
    reached: Reached = _nobody,
    *,
    batch: int | None = None,
) -> None:
    """Project each partition into the shadow up to its end, and not beyond.

    Raises ConflictError while another process fills it, and what a projector raises.
    """
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(partition: int) -> None:
        async with (
            room,
            connected(database_url) as connection,
        ):
            # What a crash of PostgreSQL takes, rows and checkpoint together, is projected again.
            await connection.execute("SET synchronous_commit TO off")
            await project(
                connection,
                source,
                epochs,
                target,
                shadow,
                {partition: ends[partition]},
                reached,
                batch,
            )

    tasks = [asyncio.ensure_future(one(partition)) for partition in ends]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def project(
    connection: Connection,
    source: Source,
    epochs: Mapping[int, str],
    target: Target,
    shadow: Shadow,
    ends: Mapping[int, int],
    reached: Reached = _nobody,
    batch: int | None = None,
) -> None:
    """The same on one connection, one partition after the other; also within a transaction."""
    bounded = Bounded(source, ends)
    owner = f"rebuild:{new_owner()}"
    async with inside(connection, shadow):
        for partition, end in ends.items():
            projection = target.projection()
            lease = await Lease.acquire(
                connection,
                projection.name,
                partition,
                epoch=epochs[partition],
                owner=owner,
                seconds=LEASE_SECONDS,
            )
            if lease is None:
                raise ConflictError(
                    f"another process works on the shadow of {shadow.name} (partition {partition}): wait for "
                    f"it, or stop it and try again after {LEASE_SECONDS:.0f} s"
                )
            try:
                projector = Projector(bounded, projection, lease, batch=batch, block_ms=50, pause=0)
                await _until(projector, end, reached)
            finally:
                projection.close()
                with contextlib.suppress(psycopg.Error):
                    await lease.release()


async def _until(projector: Projector, end: int, reached: Reached) -> None:
    lease, stop = projector.lease, asyncio.Event()
    task = asyncio.ensure_future(projector.run(stop))
    try:
        # Nobody tells when a checkpoint moves.
        while not task.done():
            reached(lease.partition, lease.checkpoint.position)
            if lease.checkpoint.position >= end:
                stop.set()
            await asyncio.wait({task}, timeout=_LOOK)
        reached(lease.partition, lease.checkpoint.position)
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
