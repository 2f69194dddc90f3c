"""Owns writing parked events, in the transaction of the batch they came with."""

from __future__ import annotations

from collections.abc import Sequence

from triton.projections.checkpoint import Lease
from triton.projections.rows import Poison
from triton.projections.statements import sql


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
