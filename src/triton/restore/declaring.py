"""Owns telling both stores that a restored log begins a new epoch: what was lost, and where they go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from triton.checkpoints.lease import LEASE_SECONDS, Lease
from triton.errors import FencedError
from triton.evidence.layout import Tree
from triton.evidence.lineage import Life, write_lives
from triton.evidence.recovering import Found, write_recovered
from triton.postgres import Connection
from triton.projections.losing import (
    LostJob,
    forget_in_clickhouse,
    held_checkpoints,
    set_aside,
)
from triton.projections.statements import sql as projections_sql
from triton.restore.known import Known
from triton.restore.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Seconds that projectors are given to let go of their checkpoints.
PATIENCE: Final = LEASE_SECONDS + 5.0


async def declared(connection: Connection, partition: int, epoch: str) -> bool:
    """Whether an attempt before has declared this epoch."""
    cursor = await connection.execute(sql("declared"), {"partition": partition, "epoch": epoch})
    return await cursor.fetchone() is not None


async def declare(
    connection: Connection,
    clickhouse: Client,
    known: Known,
    tree: Tree,
    epoch: str,
    digests: Mapping[int, str],
    *,
    unknown: Sequence[Found],
    lives: Sequence[Life],
    by: str,
    reason: str,
    patience: float = PATIENCE,
) -> list[LostJob]:
    """Begin the epoch. `tree` is of the one before, and `unknown` are its segments that PostgreSQL does not
    know; `lives` went before, the oldest first, as the archive says. `digests` are of the restored log's
    entries, by position, at least where a checkpoint is. Answers the jobs that lost events which a store
    knew.

    Raises FencedError while a projector holds on to the partition, UnavailableError.
    """
    partition = known.partition
    leases = await held_checkpoints(connection, partition, known.epoch, patience)
    try:
        jobs: list[LostJob] = []
        if known.heard > known.end:
            async with connection.transaction():
                jobs = await set_aside(connection, clickhouse, partition, known.end, known.epoch)
            await forget_in_clickhouse(clickhouse, partition, known.end, [job.job for job in jobs])
        async with connection.transaction():
            await write_recovered(connection, tree, unknown, [])
            await write_lives(connection, lives)
            for lease in leases:
                await _move(lease, known, epoch, digests)
            await connection.execute(
                "DELETE FROM insert_intents WHERE partition = %s", (partition,)
            )
            await connection.execute(
                projections_sql("fork_declare"),
                {
                    "partition": partition,
                    "epoch": epoch,
                    "previous": known.epoch,
                    "common": known.exact,
                    "lost_until": known.heard,
                    "log_end": known.end,
                    "by": by,
                    "reason": reason,
                },
            )
    finally:
        for lease in leases:
            await lease.release()
    return jobs


async def _move(lease: Lease, known: Known, epoch: str, digests: Mapping[int, str]) -> None:
    to = min(lease.checkpoint.position, known.end)
    cursor = await lease.connection.execute(
        sql("move"),
        {
            "projector": lease.projector,
            "partition": lease.partition,
            "fence": lease.fence,
            "epoch": epoch,
            "to": to,
            "digest": digests[to] if to else "",
        },
    )
    if cursor.rowcount != 1:
        raise FencedError(
            f"the checkpoint of {lease.projector} was taken over meanwhile: try again",
            projector=lease.projector,
            partition=lease.partition,
        )
