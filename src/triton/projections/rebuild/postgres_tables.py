"""Owns the shadow of the PostgreSQL projection: tables like the live ones, moved between schemas."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql as text

from triton.errors import ConflictError
from triton.postgres import Connection
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import Projection
from triton.projections.rebuild.compare_postgres import compare
from triton.projections.rebuild.shadow import BOOKKEEPING, Shadow, live_schema, run, searching
from triton.projections.rebuild.statements import sql
from triton.projections.rebuild.target import Comparison

#: All that the projector and its triggers write.
TABLES: Final = ("job_submissions", "job_states", "job_events", "failed_jobs")
#: A third of what is usual, and of the rows that are looked at for it: ids and positions are spread evenly.
_STATISTICS: Final = 30
#: Where tables are between two schemas.
_PASSING: Final = "triton_shadow_passing"


class PostgresTables:
    """A Target. Tables keep their names, indexes, triggers, grants and policies; views follow the name."""

    name = PostgresProjection.name
    transactional = True

    def projection(self) -> Projection:
        return PostgresProjection()

    async def obstacles(self, connection: Connection) -> list[str]:
        live = await live_schema(connection)
        cursor = await connection.execute(sql("obstacles"), {"live": live, "tables": list(TABLES)})
        return [found for (found,) in await cursor.fetchall()]

    async def make(self, connection: Connection, shadow: Shadow) -> None:
        await run(connection, "like_live", shadow.live, shadow.schema, TABLES, phase="make")
        async with searching(connection, ""):
            await run(connection, "policies", shadow.live, shadow.schema, TABLES)

    async def complete(self, connection: Connection, shadow: Shadow) -> None:
        await run(connection, "like_live", shadow.live, shadow.schema, TABLES, phase="index")
        await connection.execute(b"SET default_statistics_target TO %d" % _STATISTICS)
        await run(connection, "analyze", shadow.live, shadow.schema, TABLES)
        await connection.execute("RESET default_statistics_target")

    async def fits(self, connection: Connection, shadow: Shadow) -> bool:
        shapes = []
        for schema in (shadow.live, shadow.schema):
            cursor = await connection.execute(
                sql("shape"), {"schema": schema, "tables": [*TABLES, *BOOKKEEPING]}
            )
            shapes.append(await cursor.fetchall())
        return shapes[0] == shapes[1]

    async def compare(self, connection: Connection, shadow: Shadow) -> Comparison:
        return await compare(connection, shadow)

    async def switch(self, connection: Connection, shadow: Shadow, *, forth: bool) -> None:  # noqa: ARG002
        cursor = await connection.execute(
            sql("views"), {"live": shadow.live, "tables": list(TABLES)}
        )
        views = await cursor.fetchall()
        # Views first: whoever reads locks the view before its tables.
        locked = [
            *(text.SQL(name) for _, name, _ in views),
            *(text.Identifier(shadow.live, table) for table in TABLES),
            *(text.Identifier(shadow.schema, table) for table in TABLES),
        ]
        await connection.execute(
            text.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(text.SQL(", ").join(locked))
        )
        await connection.execute(text.SQL("CREATE SCHEMA {}").format(text.Identifier(_PASSING)))
        for begin, end in (
            (shadow.live, _PASSING),
            (shadow.schema, shadow.live),
            (_PASSING, shadow.schema),
        ):
            for table in TABLES:
                await connection.execute(
                    text.SQL("ALTER TABLE {} SET SCHEMA {}").format(
                        text.Identifier(begin, table), text.Identifier(end)
                    )
                )
        await connection.execute(text.SQL("DROP SCHEMA {}").format(text.Identifier(_PASSING)))
        for _, _, statement in views:
            await connection.execute(statement)

    async def drop(self, connection: Connection, shadow: Shadow) -> None:
        tables = text.SQL(", ").join(text.Identifier(shadow.schema, table) for table in TABLES)
        try:
            async with connection.transaction():
                await connection.execute(text.SQL("DROP TABLE IF EXISTS {}").format(tables))
        except psycopg.errors.DependentObjectsStillExist as error:
            raise ConflictError(
                f"something still reads the tables that were switched out ({error.diag.message_detail}): "
                "drop it, or let it read the live ones"
            ) from error

    async def sizes(self, connection: Connection) -> dict[str, int]:
        live = await live_schema(connection)
        found = {}
        for table in TABLES:
            cursor = await connection.execute(
                "SELECT pg_total_relation_size(%s::regclass)",
                (text.Identifier(live, table).as_string(connection),),
            )
            row = await cursor.fetchone()
            found[table] = int(row[0]) if row else 0
        return found

    def close(self) -> None:
        """Nothing was opened."""
