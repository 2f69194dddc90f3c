"""Owns parked events: written in the transaction of the batch they came with, and whose jobs they are."""

from __future__ import annotations

from collections.abc import Sequence

from triton.checkpoints.lease import Lease
from triton.projections.rows import Poison
from triton.projections.statements import sql


async def parked_jobs(lease: Lease) -> set[str]:
    """The jobs whose later events are to be parked."""
    cursor = await lease.connection.execute(
        "SELECT DISTINCT job FROM parked_events WHERE projector = %s AND partition = %s",
        (lease.projector, lease.partition),
    )
    return {job for (job,) in await cursor.fetchall()}


async def park(lease: Lease, poisons: Sequence[Poison]) -> None:
    """Keep the entries as they are stored in the log, each with its reason."""
    if not poisons:
        return
    await lease.connection.execute(
        sql("park"),
        {
            "projector": lease.projector,
            "partition": lease.partition,
            "positions": [poison.entry.position for poison in poisons],
            "jobs": [poison.job for poison in poisons],
            "reasons": [poison.reason for poison in poisons],
            "records": [poison.entry.record() for poison in poisons],
        },
    )
