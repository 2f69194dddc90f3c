"""Who may move a checkpoint: standbys wait, the dead are replaced, and a zombie cannot commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import psycopg
import pytest
from log_writer import LogWriter
from projecting import (
    BOTH,
    Make,
    acquired,
    await_projection,
    catch_up,
    clickhouse_projection,
    digest_at,
    opened,
    postgres_projection,
    project,
    run,
    until_caught_up,
)

from triton.checkpoints.keeping import Patience
from triton.checkpoints.lease import Lease
from triton.errors import FencedError
from triton.projections.projector import Projection, Projector
from triton.projections.rows import Piece
from triton.projections.running import Keeper
from triton.projections.verify import verify
from triton.settings import Settings


class Paused:
    """A projection that stops within `apply` until it is let go: a process that was suspended."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self.name = projection.name
        self.pause = 0.0
        self.batch = projection.batch
        self.form = projection.form
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def open(self, lease: Lease) -> int | None:
        return await self._projection.open(lease)

    async def prepare(self, pieces: AsyncIterable[Piece]) -> Any:
        return await self._projection.prepare(pieces)

    async def apply(self, lease: Lease, batch: Any) -> None:
        self.reached.set()
        await self.go.wait()
        await self._projection.apply(lease, batch)

    def close(self) -> None:
        self._projection.close()


@pytest.mark.parametrize("make", BOTH)
def test_a_zombie_is_fenced(settings: Settings, writer: LogWriter, make: Make) -> None:
    async def scene() -> None:
        async with opened(settings) as (log, first), opened(settings) as (_, second):
            zombie = Paused(make(settings))
            lease = await acquired(log, first, zombie.name, "zombie", seconds=0)
            stop = asyncio.Event()
            task = asyncio.create_task(
                Projector(log, zombie, lease, block_ms=50, pause=0).run(stop)
            )
            await zombie.reached.wait()
            successor = make(settings)
            later = await acquired(log, second, successor.name, "successor")
            assert later.fence == lease.fence + 1
            await until_caught_up(log, Projector(log, successor, later, block_ms=50, pause=0))
            zombie.go.set()
            with pytest.raises(FencedError, match=r"was replaced: its fence 1 at position 0"):
                await task
            await later.release()
            for projection in (zombie, successor):
                projection.close()

    writer.run(3)
    run(scene())
    run(catch_up(settings))
    assert verify(settings).ok


def test_a_lease_is_for_one_owner_until_it_runs_out(settings: Settings) -> None:
    async def scene() -> None:
        async with opened(settings) as (log, one), opened(settings) as (_, two):
            first = await acquired(log, one, "postgres", "first", seconds=60)

            async def take(owner: str) -> Lease | None:
                return await Lease.acquire(
                    two, "postgres", 0, epoch=log.epochs[0], owner=owner, seconds=60
                )

            assert await take("second") is None
            again = await take("first")
            assert again is not None
            assert again.fence == first.fence + 1
            with pytest.raises(FencedError):
                await first.renew()
            await first.release()
            assert await take("second") is None, "who was replaced gave another's lease back"
            await again.release()
            assert await take("second") is not None

    run(scene())


def test_who_died_is_not_waited_for(settings: Settings) -> None:
    """A killed process leaves a lease behind, but no session."""

    async def scene() -> None:
        async with opened(settings) as (log, connection):
            async with opened(settings) as (_, dying):
                first = await acquired(log, dying, "postgres", "first", seconds=600)
                dying.pgconn.finish()
            deadline = asyncio.get_running_loop().time() + 30
            while True:
                second = await Lease.acquire(
                    connection, "postgres", 0, epoch=log.epochs[0], owner="second", seconds=600
                )
                if second is not None:
                    break
                assert asyncio.get_running_loop().time() < deadline
            assert second.fence == first.fence + 1

    run(scene())


def test_who_stands_still_in_a_transaction_is_not_waited_for(settings: Settings) -> None:
    """SIGSTOP, or a machine that is gone: the session stays, and with it the lock on the checkpoint's row."""

    async def scene() -> None:
        async with opened(settings) as (log, connection), opened(settings) as (_, stopped):
            first = await acquired(log, stopped, "postgres", "first", seconds=0.5)
            await stopped.execute("BEGIN")
            await first.renew()
            second = await acquired(log, connection, "postgres", "second", seconds=0.5)
            assert second.fence == first.fence + 1
            with pytest.raises(psycopg.OperationalError):
                await stopped.execute("COMMIT")
            stopped.pgconn.finish()

    run(scene())


def test_a_standby_takes_over_when_the_first_dies(settings: Settings, writer: LogWriter) -> None:
    async def scene() -> None:
        async with opened(settings) as (log, connection):
            stop = asyncio.Event()
            keepers = [
                Keeper(
                    log,
                    settings.database_url,
                    lambda: postgres_projection(settings),
                    0,
                    patience=Patience(lease=60.0, standby=0.05),
                    block_ms=100,
                    pause=0,
                )
                for _ in range(2)
            ]
            first = asyncio.create_task(keepers[0].run(stop))
            await await_projection(connection, "postgres", writer.position)
            (backend,) = await _others(connection)
            second = asyncio.create_task(keepers[1].run(stop))
            await asyncio.to_thread(writer.run, 2)
            await await_projection(connection, "postgres", writer.position)
            assert await _fences(connection) == [1], "the standby did not wait"
            # Cut at the server, and its task never runs again: the first is dead, its lease stands.
            await connection.execute("SELECT pg_terminate_backend(%s)", (backend,))
            first.cancel()
            await asyncio.wait({first})
            await asyncio.to_thread(writer.run, 2)
            await await_projection(connection, "postgres", writer.position)
            assert await _fences(connection) == [2]
            stop.set()
            await second

    writer.run(2)
    run(scene())
    project(settings)
    assert verify(settings).ok


async def _fences(connection: psycopg.AsyncConnection[Any]) -> list[int]:
    cursor = await connection.execute("SELECT fence FROM checkpoints")
    return [fence for (fence,) in await cursor.fetchall()]


async def _others(connection: psycopg.AsyncConnection[Any]) -> list[int]:
    """The one session that is left, once those of others before have ended in their own time."""
    for _ in range(1000):
        cursor = await connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        if len(found := await cursor.fetchall()) == 1:
            break
        await asyncio.sleep(0.02)
    return [pid for (pid,) in found]


def test_a_second_projector_does_not_undo_an_open_intent(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Who takes over applies exactly the batch that was begun, whatever its own batches are."""
    writer.run(2)
    run(catch_up(settings, clickhouse_projection))
    writer.run(4)
    postgres.execute(
        "INSERT INTO insert_intents (projector, partition, epoch, first_position, last_position, rows,"
        " digest) SELECT projector, partition, epoch, 7, 13, 7, %s FROM checkpoints",
        (digest_at(settings, 13),),
    )
    seen: list[int] = []

    class Watched(type(clickhouse_projection(settings))):  # type: ignore[misc]
        async def apply(self, lease: Lease, batch: Any) -> None:
            seen.append(batch.count)
            await super().apply(lease, batch)

    run(catch_up(settings, lambda s: Watched(s.clickhouse_url), batch=5))
    assert seen == [7, 5]
    assert postgres.execute("SELECT count(*) FROM insert_intents").fetchone() == (0,)
    run(catch_up(settings, postgres_projection))
    assert verify(settings).ok
