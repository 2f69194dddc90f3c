"""Owns running the steps of a rebuild in tests: each as a command of its own, or killed on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from interruption import Interrupted, Killed
from projecting import opened, run

from triton.history import History, open_past
from triton.projections.rebuild.running import Rebuild, target_of
from triton.projections.rebuild.telling import Filled
from triton.settings import Settings


@asynccontextmanager
async def rebuilding(settings: Settings, name: str = "postgres") -> AsyncIterator[Rebuild]:
    async with opened(settings) as (log, connection):
        target = target_of(name, settings)
        log = History.over(log, open_past(settings))
        try:
            yield Rebuild(log, connection, settings.database_url, target)
        finally:
            target.close()


def step(
    settings: Settings, do: Callable[[Rebuild], Awaitable[Any]], name: str = "postgres"
) -> Any:
    """One step of a rebuild, as a command of its own."""

    async def one() -> Any:
        async with rebuilding(settings, name) as rebuild:
            return await do(rebuild)

    return run(one())


def filled(settings: Settings, name: str = "postgres", **options: Any) -> Filled:
    found: Filled = step(settings, lambda rebuild: rebuild.fill(**options), name)
    return found


async def killed(
    settings: Settings, at: int, do: Callable[[Rebuild], Awaitable[Any]], name: str = "postgres"
) -> bool:
    """Run one step up to its n-th await, and kill it there. False where it ended before."""
    async with opened(settings) as (log, watching):
        connection = await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True)
        target = target_of(name, settings)
        rebuild = Rebuild(log, connection, settings.database_url, target)
        others: list[asyncio.Task[Any]] = []

        async def doing() -> None:
            await do(rebuild)

        attempt = Interrupted(doing(), at, "kill")
        before = asyncio.all_tasks()
        try:
            await attempt
        except Killed:
            return True
        finally:
            # What the kernel does with a dead process: its sockets are closed, its tasks are gone.
            backend = connection.info.backend_pid
            connection.pgconn.finish()
            others = list(asyncio.all_tasks() - before)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            attempt.bury()
            target.close()
            await _gone(watching, backend)
        return False


async def _gone(connection: psycopg.AsyncConnection[Any], backend: int) -> None:
    """Until PostgreSQL has noticed."""
    while True:
        cursor = await connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (backend,))
        if await cursor.fetchone() is None:
            return
        await asyncio.sleep(0.002)
