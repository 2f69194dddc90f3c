"""Owns the process that projects: one task for each projection and partition, kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import psycopg
import structlog
from redis.exceptions import RedisError

from triton.errors import (
    ConfigurationError,
    EvidenceError,
    FencedError,
    LogError,
    UnavailableError,
)
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.history import History, open_past
from triton.projections.checkpoint import LEASE_SECONDS, Lease
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import Projection, Projector
from triton.settings import Settings

#: Seconds between two looks of a standby at its lease.
_STANDBY: Final = 1.0
#: Seconds until a projector that failed tries again: at first, and at most.
_FIRST: Final = 0.1
_LONGEST: Final = 10.0
#: Seconds between two looks at a log that broke a promise: a person has to decide.
_HALTED: Final = 30.0


async def run_projectors(settings: Settings, stop: asyncio.Event) -> None:
    """Project every partition into both stores until `stop` is set.

    An engine that is away, or another process that holds the lease, is waited for. A broken log halts the
    projector that noticed: it says so, and looks again. Raises ConfigurationError for a missing URL, or
    for a log with another number of partitions.
    """
    for name in ("redis_url", "database_url", "clickhouse_url"):
        if not getattr(settings, name):
            raise ConfigurationError(
                f"TRITON_{name.upper()} is empty: a projector needs its engines' URLs",
                setting=name,
            )
    makers: tuple[Callable[[], Projection], ...] = (
        PostgresProjection,
        lambda: ClickHouseProjection(settings.clickhouse_url),
    )
    collect_rarely()
    client = connect_async(settings.redis_url)
    try:
        log = await _opened(settings, client, stop)
        if log is None:
            return
        async with asyncio.TaskGroup() as group:
            for partition in range(settings.partitions):
                for make in makers:
                    keeper = Keeper(log, settings.database_url, make, partition)
                    group.create_task(keeper.run(stop))
    finally:
        await client.aclose()


def collect_rarely() -> None:
    """Let the garbage collector come once in several batches, not several times in one.

    A batch is ten thousands of lists and tuples, all of them free of cycles; looking for cycles among them
    takes a third of a projector's time. For the whole process, so not for one that does much else.
    """
    gc.set_threshold(200_000, 20, 20)


class Keeper:
    """Keeps one projector of one partition running: standby, work, again after what may pass."""

    def __init__(
        self,
        log: Log,
        database_url: str,
        make: Callable[[], Projection],
        partition: int,
        *,
        lease_seconds: float = LEASE_SECONDS,
        standby_seconds: float = _STANDBY,
        halted_seconds: float = _HALTED,
        **options: Any,
    ) -> None:
        self._log = log
        self._database_url = database_url
        self._make = make
        self._partition = partition
        self._lease_seconds = lease_seconds
        self._standby_seconds = standby_seconds
        self._halted_seconds = halted_seconds
        self._options = options
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._say = structlog.get_logger("triton.projector").bind(partition=partition)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Errors of engines and of the log are logged, others are raised."""
        delay = _FIRST
        halted = False
        while not stop.is_set():
            begun = time.monotonic()
            pause = delay
            try:
                if halted:
                    await self._log.refresh()
                    halted = False
                await self._once(stop)
                continue
            except FencedError as error:
                self._say.warning("projector.replaced", error=error.message)
            except (LogError, EvidenceError) as error:
                pause, halted = self._halted_seconds, True
                self._say.error("projector.halted", code=error.code, error=error.message)
            except psycopg.errors.UndefinedTable as error:
                self._say.error(
                    "projector.no_schema", error=str(error), advice="run `triton migrate up`"
                )
            except (UnavailableError, RedisError, psycopg.Error, OSError) as error:
                self._say.warning("projector.waiting", error=str(error), again_in_seconds=pause)
            await _pause(stop, pause)
            worked = time.monotonic() - begun > _LONGEST + pause
            delay = _FIRST if worked else min(delay * 2, _LONGEST)

    async def _once(self, stop: asyncio.Event) -> None:
        projection = self._make()
        say = self._say.bind(projector=projection.name)
        try:
            async with await psycopg.AsyncConnection.connect(
                self._database_url, autocommit=True, connect_timeout=10
            ) as connection:
                lease = await self._lease(connection, projection.name, stop, say)
                if lease is None:
                    return
                say.info("projector.started", position=lease.checkpoint.position, fence=lease.fence)
                async with _released(lease):
                    await Projector(self._log, projection, lease, **self._options).run(stop)
                say.info("projector.stopped", position=lease.checkpoint.position)
        finally:
            projection.close()

    async def _lease(
        self, connection: psycopg.AsyncConnection[Any], name: str, stop: asyncio.Event, say: Any
    ) -> Lease | None:
        """The lease, as soon as nobody else holds it; None when told to stop before."""
        standby = False
        while not stop.is_set():
            lease = await Lease.acquire(
                connection,
                name,
                self._partition,
                epoch=self._log.epochs[self._partition],
                owner=self._owner,
                seconds=self._lease_seconds,
            )
            if lease is not None:
                return lease
            if not standby:
                say.info("projector.standby")
                standby = True
            await _pause(stop, self._standby_seconds)
        return None


@contextlib.asynccontextmanager
async def _released(lease: Lease) -> AsyncIterator[None]:
    """Gives the lease back at the end, where the connection still stands."""
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):
            await lease.release()


async def _opened(settings: Settings, client: Any, stop: asyncio.Event) -> Log | None:
    say = structlog.get_logger("triton.projector")
    delay = _FIRST
    scripts = Scripts()
    while not stop.is_set():
        try:
            log = await Log.open(
                client, scripts, settings.namespace, settings.partitions, secrets.token_hex(8)
            )
            # A projection that is new, or was away for long, begins in the archive.
            return History.over(log, open_past(settings))
        except UnavailableError as error:
            say.warning("projector.waiting", error=error.message, again_in_seconds=delay)
            await _pause(stop, delay)
            delay = min(delay * 2, _LONGEST)
    return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
