"""Owns a shadow's schema in PostgreSQL: its state, its own bookkeeping, and who works in it.

The schema stands before the live one in the search path of whoever works on the shadow. So the same
projection finds the shadow's tables, checkpoints and parked events under the same names, and nothing else
ever sees them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec
from psycopg import sql as text
from psycopg.rows import class_row

from triton.errors import ConfigurationError
from triton.events.log import Checkpoint
from triton.postgres import Connection
from triton.projections.rebuild.statements import sql

#: `filling`: rows are missing. `ready`: it has all rows up to its checkpoints. `previous`: it was switched,
#: and holds what was live before. `cutting` and `returning`: a switch from `ready` or back to it was begun
#: and not ended, in a store without transactions.
State: TypeAlias = Literal["filling", "ready", "cutting", "previous", "returning"]
#: Tables that a shadow has of its own whatever its projection is.
BOOKKEEPING: Final = ("checkpoints", "parked_events", "insert_intents")
#: Whoever makes, switches or drops a shadow holds this lock: "shadow" in ASCII.
_LOCK: Final = 0x736861646F77


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """A shadow as it stands. `live` is the schema of the live tables."""

    name: str
    live: str
    state: State
    made_at: datetime
    changed_at: datetime

    @property
    def schema(self) -> str:
        return schema_of(self.name)


def schema_of(name: str) -> str:
    """The schema of a projection's shadow."""
    return f"triton_shadow_{name}"


async def live_schema(connection: Connection) -> str:
    """Where Triton's tables are. Raises ConfigurationError where there are none."""
    cursor = await connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass('checkpoints')"
    )
    row = await cursor.fetchone()
    if row is None:
        raise ConfigurationError("PostgreSQL has no table `checkpoints`: run `triton migrate up`")
    return str(row[0])


async def lock(connection: Connection) -> None:
    """Until the end of the transaction, be the only one who makes, switches or drops a shadow."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


async def find(connection: Connection, name: str) -> Shadow | None:
    """The shadow of a projection, if there is one."""
    live = await live_schema(connection)
    state = text.Identifier(schema_of(name), "shadow")
    cursor = await connection.execute("SELECT to_regclass(%s)", (state.as_string(connection),))
    if await cursor.fetchone() == (None,):
        return None
    async with connection.cursor(row_factory=class_row(Shadow)) as rows:
        await rows.execute(
            text.SQL("SELECT %s AS name, %s AS live, state, made_at, changed_at FROM {}").format(
                state
            ),
            (name, live),
        )
        return await rows.fetchone()


async def make(connection: Connection, name: str) -> Shadow:
    """The schema and its bookkeeping, in the caller's transaction."""
    live, schema = await live_schema(connection), schema_of(name)
    await connection.execute(text.SQL("CREATE SCHEMA {}").format(text.Identifier(schema)))
    await run(connection, "like_live", live, schema, BOOKKEEPING, phase="make")
    await connection.execute(
        text.SQL(
            "CREATE TABLE {} (state text NOT NULL, made_at timestamptz NOT NULL DEFAULT now(),"
            " changed_at timestamptz NOT NULL DEFAULT now())"
        ).format(text.Identifier(schema, "shadow"))
    )
    # Where the live tables were complete when a switch was begun.
    await connection.execute(
        text.SQL("CREATE TABLE {} (LIKE {})").format(
            text.Identifier(schema, "begun"), text.Identifier(live, "checkpoints")
        )
    )
    await connection.execute(
        text.SQL("INSERT INTO {} (state) VALUES ('filling')").format(
            text.Identifier(schema, "shadow")
        )
    )
    made = await find(connection, name)
    assert made is not None, "a shadow that was just made"
    return made


async def become(connection: Connection, shadow: Shadow, state: State) -> None:
    """Set the state."""
    await connection.execute(
        text.SQL("UPDATE {} SET state = %s, changed_at = clock_timestamp()").format(
            text.Identifier(shadow.schema, "shadow")
        ),
        (state,),
    )


async def run(
    connection: Connection, name: str, live: str, schema: str, tables: tuple[str, ...], **more: str
) -> None:
    """Run the statements that a file of `sql/` answers."""
    cursor = await connection.execute(
        sql(name), {"live": live, "schema": schema, "tables": list(tables), **more}
    )
    for (statement,) in await cursor.fetchall():
        await connection.execute(statement)


@asynccontextmanager
async def inside(connection: Connection, shadow: Shadow) -> AsyncIterator[None]:
    """Let the connection find the shadow's tables first."""
    first = text.Identifier(shadow.schema).as_string(connection)
    async with searching(connection, f"{first}, {await _path(connection)}"):
        yield


@asynccontextmanager
async def searching(connection: Connection, path: str) -> AsyncIterator[None]:
    """Let the connection find tables in these schemas, as a search path has them; empty for none."""
    before = await _path(connection)
    await connection.execute("SELECT set_config('search_path', %s, false)", (path,))
    try:
        yield
    finally:
        if not connection.closed and connection.info.transaction_status.name != "INERROR":
            await connection.execute("SELECT set_config('search_path', %s, false)", (before,))


async def _path(connection: Connection) -> str:
    cursor = await connection.execute("SELECT current_setting('search_path')")
    row = await cursor.fetchone()
    assert row is not None, "a setting that PostgreSQL always has"
    return str(row[0])


async def drop(connection: Connection, shadow: Shadow) -> None:
    """The schema and its bookkeeping; its projection's tables are gone already."""
    for table in ("begun", "shadow", *BOOKKEEPING):
        await connection.execute(
            text.SQL("DROP TABLE IF EXISTS {}").format(text.Identifier(shadow.schema, table))
        )
    await connection.execute(text.SQL("DROP SCHEMA {}").format(text.Identifier(shadow.schema)))


async def positions(
    connection: Connection,
    schema: str,
    name: str,
    *,
    table: str = "checkpoints",
    held: bool = False,
) -> dict[int, Checkpoint]:
    """How far a projection is in a schema, by partition; `held` until the end of the transaction."""
    cursor = await connection.execute(
        text.SQL(
            "SELECT partition, epoch, position, digest FROM {} WHERE projector = %s ORDER BY 1{}"
        ).format(text.Identifier(schema, table), text.SQL(" FOR UPDATE" if held else "")),
        (name,),
    )
    return {partition: Checkpoint(*rest) for partition, *rest in await cursor.fetchall()}


async def parked(connection: Connection, schema: str, name: str) -> set[tuple[int, int]]:
    """The partition and position of each event that a projection put aside."""
    cursor = await connection.execute(
        text.SQL("SELECT partition, position FROM {} WHERE projector = %s").format(
            text.Identifier(schema, "parked_events")
        ),
        (name,),
    )
    return {(partition, position) for partition, position in await cursor.fetchall()}
