"""Owns the question whether a log still holds what its newest tree head was signed for."""

from __future__ import annotations

from triton.events.log import Log
from triton.evidence.statements import sql
from triton.postgres import Connection


async def signed_otherwise(log: Log, connection: Connection, partition: int) -> str:
    """How a partition differs from what was signed; empty where it does not, as far as Redis tells.

    The archiver may see an event before any projector does: where that tail is lost, and projectors go on
    with what the log issues in its place, nothing else shows it.
    """
    values = {"partition": partition, "epoch": log.epochs[partition]}
    cursor = await connection.execute(sql("head_digest"), values)
    row = await cursor.fetchone()
    if row is None:
        return ""
    size, digest = row
    entry = await Log.entry(log, partition, size)
    if entry is not None and entry.digest() != digest:
        return (
            f"the entry at {size} of partition {partition} is not the one that a tree head was signed for: "
            "the log lost its tail, and issued its positions again"
        )
    last = await log.position(partition)
    if last < size:
        return (
            f"partition {partition} ends at {last}, but a tree head was signed for {size} events: "
            "its tail was lost"
        )
    return ""
