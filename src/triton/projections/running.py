"""Owns the process that projects: one task for each projection and partition, kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg

from triton.checkpoints.keeping import PATIENCE, Keeping, Patience, opened, released
from triton.collecting import collect_rarely
from triton.errors import ConfigurationError
from triton.events.client import connect_async
from triton.events.log import Log
from triton.history import history_of
from triton.observe.signs import Part, signs
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import Projection, Projector
from triton.projections.sweeping import run_sweeping
from triton.settings import Settings


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
    # Here, because it is kept as the projectors are.
    from triton.webhooks.feed import WebhookKeeper

    makers: dict[str, Callable[[], Projection]] = {
        "postgres": PostgresProjection,
        "clickhouse": lambda: ClickHouseProjection(settings.clickhouse_url),
    }
    collect_rarely()
    client = connect_async(settings.redis_url)
    try:

        async def open_log() -> Log:
            # A projection that is new, or was away for long, begins in the archive.
            return await history_of(client, settings)

        log = await opened("projector", open_log, stop)
        if log is None:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(run_sweeping(settings, stop))
            for partition in range(settings.partitions):
                group.create_task(WebhookKeeper(log, client, settings, partition).run(stop))
                for name, make in makers.items():
                    part = signs.part(f"{name}/{partition}")
                    keeper = Keeper(log, settings.database_url, make, partition, part=part)
                    group.create_task(keeper.run(stop))
    finally:
        await client.aclose()


class Keeper(Keeping):
    """Keeps one projector of one partition running. `options` are the Projector's."""

    word = "projector"

    def __init__(
        self,
        log: Log,
        database_url: str,
        make: Callable[[], Projection],
        partition: int,
        *,
        patience: Patience = PATIENCE,
        part: Part | None = None,
        **options: Any,
    ) -> None:
        super().__init__(log, database_url, partition, patience=patience, part=part)
        self._make = make
        self._options = options

    async def once(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        projection = self._make()
        say = self.say.bind(projector=projection.name)
        try:
            lease = await self.lease(connection, projection.name, stop)
            if lease is None:
                return
            say.info("projector.started", position=lease.checkpoint.position, fence=lease.fence)
            async with released(lease):
                options = {**self._options, "part": self.part}
                await Projector(self.log, projection, lease, **options).run(stop)
            say.info("projector.stopped", position=lease.checkpoint.position)
        finally:
            projection.close()
