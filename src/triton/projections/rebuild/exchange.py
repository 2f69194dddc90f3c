"""Owns exchanging the bookkeeping of a live projection and its shadow, in the transaction of a switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql as text

from triton.events.log import Checkpoint
from triton.postgres import Connection
from triton.projections.rebuild.shadow import Shadow

#: The name that the shadow's rows have while they change places.
_PASSING: Final = "triton:passing"
#: Moves {table}'s rows of one projection from each schema to the other.
_MOVES: Final = (
    "UPDATE {shadow} SET projector = %(passing)s WHERE projector = %(name)s",
    "INSERT INTO {shadow} SELECT * FROM {live} WHERE projector = %(name)s",
    "DELETE FROM {live} WHERE projector = %(name)s",
    "INSERT INTO {live} SELECT * FROM {shadow} WHERE projector = %(passing)s",
    "UPDATE {live} SET projector = %(name)s WHERE projector = %(passing)s",
    "DELETE FROM {shadow} WHERE projector = %(passing)s",
)
#: Whoever held either checkpoint holds it no more, and anyone may take it at once.
_FENCES: Final = (
    "UPDATE {live} l SET fence = 1 + greatest(l.fence, (SELECT s.fence FROM {shadow} s WHERE s.projector ="
    " l.projector AND s.partition = l.partition)), leased_until = '-infinity', updated_at = clock_timestamp()"
    " WHERE projector = %(name)s",
    "UPDATE {shadow} s SET fence = 1 + greatest(s.fence, (SELECT l.fence FROM {live} l WHERE l.projector ="
    " s.projector AND l.partition = s.partition)), leased_until = '-infinity', updated_at = clock_timestamp()"
    " WHERE projector = %(name)s",
)


async def exchange(
    connection: Connection, shadow: Shadow, before: Mapping[int, Checkpoint] | None = None
) -> None:
    """Exchange the checkpoints and the parked events; forget batches that were on their way.

    `before` is where the tables that go into the shadow are known to be complete, if that is not where their
    checkpoints are.
    """
    for table in ("checkpoints", "parked_events"):
        await _run(connection, shadow, table, _MOVES)
    await _run(connection, shadow, "checkpoints", _FENCES)
    forget = ("DELETE FROM {live} WHERE projector = %(name)s", "DELETE FROM {shadow}")
    await _run(connection, shadow, "insert_intents", forget)
    for partition, checkpoint in (before or {}).items():
        await connection.execute(
            text.SQL(
                "UPDATE {} SET epoch = %s, position = %s, digest = %s WHERE projector = %s AND partition = %s"
            ).format(text.Identifier(shadow.schema, "checkpoints")),
            (*checkpoint, shadow.name, partition),
        )


async def _run(
    connection: Connection, shadow: Shadow, table: str, statements: tuple[str, ...]
) -> None:
    places = {
        "live": text.Identifier(shadow.live, table),
        "shadow": text.Identifier(shadow.schema, table),
    }
    for statement in statements:
        await connection.execute(
            text.SQL(statement).format(**places),
            {"name": shadow.name, "passing": _PASSING},
        )
