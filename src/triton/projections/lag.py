"""Owns the question how far the projections are behind the log, and waiting until they are not."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from triton.errors import UnavailableError
from triton.events.client import connect_async, server_time
from triton.events.envelope import AT
from triton.events.log import Checkpoint, Log
from triton.history import log_of
from triton.postgres import Connection, connected
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.settings import Settings

PROJECTORS: Final = (PostgresProjection.name, ClickHouseProjection.name)


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """One projector of one partition. `seconds` is the age of the oldest event it has not applied, 0 for
    none; `parked` the number of events it put aside; `forked` why it stands still where the log is no longer
    the one that it read."""

    projector: str
    partition: int
    log_position: int
    position: int
    seconds: float
    parked: int
    forked: str = ""

    @property
    def behind(self) -> int:
        """Positions from the checkpoint to the end of the log."""
        return max(0, self.log_position - self.position)


async def lag(log: Log, connection: Connection) -> list[Lag]:
    """Every projector of every partition; one that never ran is at position 0."""
    cursor = await connection.execute(
        "SELECT projector, partition, epoch, position, digest FROM checkpoints"
    )
    checkpoints = {
        (name, partition): Checkpoint(*rest) for name, partition, *rest in await cursor.fetchall()
    }
    cursor = await connection.execute(
        "SELECT projector, partition, count(*) FROM parked_events GROUP BY 1, 2"
    )
    parked = {(name, partition): count for name, partition, count in await cursor.fetchall()}
    found = []
    for partition in range(log.partitions):
        end = await log.position(partition)
        for name in PROJECTORS:
            checkpoint = checkpoints.get((name, partition))
            position = checkpoint.position if checkpoint else 0
            found.append(
                Lag(
                    projector=name,
                    partition=partition,
                    log_position=end,
                    position=position,
                    seconds=await age(log, partition, position + 1) if position < end else 0.0,
                    parked=parked.get((name, partition), 0),
                    forked=await log.forked(partition, checkpoint) if checkpoint else "",
                )
            )
    return found


async def age(log: Log, partition: int, position: int) -> float:
    """Seconds since the entry at a position by the server's clock; 0 when it is not there."""
    entry = await log.entry(partition, position)
    if entry is None:
        return 0.0
    return max(0.0, (await server_time(log.client) - int(entry.value(AT))) / 1e6)


def read_lag(settings: Settings, *, seconds: float = 10.0) -> list[Lag]:
    """The same with connections of its own. Raises UnavailableError, also where it takes longer than so many
    `seconds`, and RedisError."""
    return asyncio.run(_within(seconds, settings))


async def _within(seconds: float, settings: Settings) -> list[Lag]:
    try:
        async with asyncio.timeout(seconds):
            return await _read_lag(settings)
    except TimeoutError as error:
        raise UnavailableError(
            "how far projectors are cannot be read: "
            f"Redis and PostgreSQL did not both answer within {seconds} s"
        ) from error


async def _read_lag(settings: Settings) -> list[Lag]:
    async with connect_async(settings.redis_url) as client:
        log = await log_of(client, settings)
        async with connected(settings.database_url) as connection:
            return await lag(log, connection)
