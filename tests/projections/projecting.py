"""Owns running projectors in tests: one at a time, up to the end of the log."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from triton.checkpoints.lease import Lease
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.history import History, open_past
from triton.postgres import Connection
from triton.projections.adopt import Adopted, adopt
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.engines import open_engines
from triton.projections.fork import find_fork
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import Projection, Projector
from triton.settings import Settings

Make = Callable[[Settings], Projection]


def postgres_projection(_: Settings) -> Projection:
    return PostgresProjection()


def clickhouse_projection(settings: Settings) -> Projection:
    return ClickHouseProjection(settings.clickhouse_url)


BOTH: tuple[Make, ...] = (postgres_projection, clickhouse_projection)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end, within 100 seconds."""
    return asyncio.run(asyncio.wait_for(coroutine, 100))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Log, Connection]]:
    """The log and a connection to PostgreSQL."""
    client = connect_async(settings.redis_url)
    try:
        log = await Log.open(
            client, Scripts(), settings.namespace, settings.partitions, secrets.token_hex(8)
        )
        async with await psycopg.AsyncConnection.connect(
            settings.database_url, autocommit=True
        ) as connection:
            yield History.over(log, open_past(settings)), connection
    finally:
        await client.aclose()


async def acquired(
    log: Log, connection: Connection, name: str, owner: str = "", seconds: float = 15
) -> Lease:
    """The lease, for an owner of its own: what a dead one's session still does must not take it back."""
    owner = owner or secrets.token_hex(4)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lease = await Lease.acquire(
            connection, name, 0, epoch=log.epochs[0], owner=owner, seconds=seconds
        )
        if lease is not None:
            return lease
        await asyncio.sleep(0.01)
    raise AssertionError("another owner holds the lease")


async def until_caught_up(log: Log, projector: Projector, end: int | None = None) -> None:
    """Run a projector until it stands at `end`, or at the end of the log."""
    stop = asyncio.Event()
    task = asyncio.create_task(projector.run(stop))
    end = await log.position(0) if end is None else end
    while projector.lease.checkpoint.position < end and not task.done():
        await asyncio.wait({task}, timeout=0.002)
    stop.set()
    await task


async def catch_up(
    settings: Settings, *makes: Make, batch: int | None = None, end: int | None = None
) -> None:
    """Run each projection to `end`, or to the end of the log."""
    async with opened(settings) as (log, connection):
        for make in makes or BOTH:
            projection = make(settings)
            lease = await acquired(log, connection, projection.name)
            try:
                await until_caught_up(
                    log, Projector(log, projection, lease, batch=batch, block_ms=50, pause=0), end
                )
            finally:
                projection.close()


def project(settings: Settings, *makes: Make, batch: int | None = None) -> None:
    """The same, from a test that is not asynchronous."""
    run(catch_up(settings, *makes, batch=batch))


def digest_at(settings: Settings, position: int) -> str:
    """Of the entry at a position, as intents and checkpoints hold it."""

    async def read() -> str:
        async with opened(settings) as (log, _):
            entry = await log.entry(0, position)
            assert entry is not None
            return entry.digest()

    digest: str = run(read())
    return digest


def adopted(settings: Settings) -> Adopted:
    async def decide() -> Adopted:
        async with open_engines(settings) as (log, connection, clickhouse):
            fork = await find_fork(log, connection, clickhouse, 0)
            assert fork is not None
            return await adopt(log, connection, clickhouse, fork, by="user:op", reason="disk died")

    done: Adopted = run(decide())
    return done


async def await_projection(
    connection: Connection,
    projector: str,
    position: int,
    *,
    partition: int = 0,
    seconds: float = 60.0,
    interval: float = 0.01,
) -> None:
    """Wait until a projector's checkpoint has reached a position."""
    deadline = time.monotonic() + seconds
    while True:
        cursor = await connection.execute(
            "SELECT position FROM checkpoints WHERE projector = %s AND partition = %s",
            (projector, partition),
        )
        row = await cursor.fetchone()
        reached = row[0] if row else 0
        if reached >= position:
            return
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"{projector} is at {reached} after {seconds} s, expected {position}"
            )
        await asyncio.sleep(interval)
