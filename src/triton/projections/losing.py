"""Owns what is done with events that a log has lost: they are kept apart, and both stores forget them.

Whoever does that holds every checkpoint of the partition, so that nobody projects meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from triton.checkpoints.lease import Lease
from triton.errors import FencedError, UnavailableError
from triton.events.log import Checkpoint, Log
from triton.postgres import Connection
from triton.projections.compare_events import ANALYTICS
from triton.projections.refold import EVENT_FIELDS
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_JOBS: Final = 500
#: A DELETE has happened when it is answered.
_SYNC: Final = {"mutations_sync": 2, "lightweight_deletes_sync": 2}


class LostJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that lost events; `last` is the type of its last one, `began_before`: the log still knows it."""

    job: str
    tenant: str
    queue: str
    version: int
    began_before: bool
    last: str


async def held_checkpoints(
    connection: Connection, partition: int, epoch: str, patience: float, log: Log | None = None
) -> list[Lease]:
    """Every checkpoint of a partition, held for ten minutes. Whoever projects is fenced off.

    A projector that has read nothing but what the `log` holds never notices that others have, and is pushed
    aside. Raises FencedError where another one is held for longer than `patience` seconds.
    """
    cursor = await connection.execute(
        "SELECT projector FROM checkpoints WHERE partition = %s ORDER BY 1", (partition,)
    )
    leases: list[Lease] = []
    deadline = time.monotonic() + patience
    owner = f"adopt:{secrets.token_hex(4)}"
    for (projector,) in await cursor.fetchall():
        push = log is not None and await _agrees(connection, log, projector, partition)
        while True:
            lease = await Lease.acquire(
                connection, projector, partition, epoch=epoch, owner=owner, seconds=600.0, push=push
            )
            if lease is not None:
                leases.append(lease)
                break
            if time.monotonic() >= deadline:
                for held in leases:
                    await held.release()
                raise FencedError(
                    f"a projector ({projector}) still works on partition {partition}: stop it, or wait until "
                    "it has noticed the fork, and try again",
                    projector=projector,
                    partition=partition,
                )
            await asyncio.sleep(0.2)
    return leases


async def _agrees(connection: Connection, log: Log, projector: str, partition: int) -> bool:
    """Whether the log holds what a projector read last, and what it may be inserting just now."""
    cursor = await connection.execute(
        sql("fork_read"), {"projector": projector, "partition": partition}
    )
    read = [Checkpoint(*row) for row in await cursor.fetchall()]
    return not any([await log.forked(partition, one) for one in read])


async def set_aside(
    connection: Connection,
    clickhouse: Client,
    partition: int,
    common: int,
    epoch: str,
    archived: AsyncIterator[list[tuple[Any, ...]]] | None = None,
) -> list[LostJob]:
    """Copy what both stores have after a position into `lost_events`, as events of an epoch; and what is
    `archived`: position and EVENT_FIELDS of each. Answers the jobs of all that."""
    at = {"partition": partition, "common": common, "epoch": epoch}
    await connection.execute(sql("fork_set_aside"), at)
    query = (
        f"SELECT position, {', '.join(EVENT_FIELDS)} FROM {ANALYTICS.partition('.')[2]} FINAL"
        " WHERE partition = {partition:UInt32} AND position > {common:UInt64} ORDER BY position"
    ).replace(", at,", ", toUnixTimestamp64Micro(at),")
    rows = await asyncio.to_thread(clickhouse.query, query, parameters=at)
    async with connection.cursor() as cursor:
        await cursor.executemany(
            sql("fork_set_aside_one"), [(epoch, partition, *row) for row in rows.result_rows]
        )
        if archived is not None:
            async for events in archived:
                await cursor.executemany(
                    sql("fork_set_aside_one"), [(epoch, partition, *row) for row in events]
                )
    return await _jobs(connection, at)


async def spare(
    connection: Connection, partition: int, common: int, epoch: str, positions: Sequence[int]
) -> list[LostJob]:
    """Take back what was set aside and is not lost. Answers the jobs of what is."""
    at = {"partition": partition, "common": common, "epoch": epoch}
    await connection.execute(sql("fork_spare"), {**at, "positions": list(positions)})
    return await _jobs(connection, at)


async def _jobs(connection: Connection, at: dict[str, Any]) -> list[LostJob]:
    cursor = await connection.execute(sql("fork_jobs"), at)
    names = LostJob.__struct_fields__
    return [LostJob(**dict(zip(names, row, strict=True))) for row in await cursor.fetchall()]


async def forget_in_clickhouse(
    clickhouse: Client, partition: int, common: int, jobs: Sequence[str]
) -> None:
    """Delete what ClickHouse has after a position, and make the times of these jobs again."""
    at = {"partition": partition, "common": common}
    await _command(
        clickhouse,
        "DELETE FROM job_events WHERE partition = {partition:UInt32} AND position > {common:UInt64}",
        at,
    )
    for start in range(0, len(jobs), _JOBS):
        some = {"jobs": list(jobs[start : start + _JOBS])}
        await _command(clickhouse, "DELETE FROM job_times WHERE job IN {jobs:Array(String)}", some)
        await _command(clickhouse, sql("fork_job_times_clickhouse").decode(), some)


async def _command(clickhouse: Client, statement: str, values: dict[str, Any]) -> None:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        await asyncio.to_thread(clickhouse.command, statement, parameters=values, settings=_SYNC)
    except ClickHouseError as error:
        raise UnavailableError(f"ClickHouse refused to forget what is lost: {error}") from error
