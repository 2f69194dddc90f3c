"""Owns the shadow of the ClickHouse projection: tables of another name, switched by EXCHANGE TABLES.

ClickHouse has no transactions, so a switch may stop between its two exchanges. Which table is which is
therefore told by the tables themselves: those that a rebuild made carry its mark as their comment, wherever
they go. What a projector inserts in between reaches one table of each pair; the switch that goes on takes the
same events into the other two, and what was live before begins again where it was complete.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from triton.errors import UnavailableError, no_answer
from triton.postgres import Connection
from triton.projections.clickhouse import EVENTS, ClickHouseProjection
from triton.projections.projector import Projection
from triton.projections.rebuild.compare_clickhouse import compare
from triton.projections.rebuild.shadow import Shadow
from triton.projections.rebuild.target import Comparison

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TIMES: Final = "job_times"
_FILL: Final = "job_times_fill"
TABLES: Final = (TIMES, EVENTS)
_BESIDE: Final = "_shadow"
#: Engines of a database that can exchange tables.
_ENGINES: Final = ("Atomic", "Replicated", "Shared")
_SHAPE: Final = (
    "SELECT name, type, default_kind, default_expression, is_in_primary_key FROM system.columns"
    " WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
)
_TABLE: Final = (
    "SELECT comment, engine_full, as_select FROM system.tables"
    " WHERE database = currentDatabase() AND name = {table:String}"
)


class ClickHouseTables:
    """A Target; the shadow's bookkeeping is in PostgreSQL as that of the live one is."""

    name = ClickHouseProjection.name
    transactional = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None

    def projection(self) -> Projection:
        return ClickHouseProjection(self._url, EVENTS + _BESIDE)

    async def obstacles(self, _: Connection) -> list[str]:
        ((engine,),) = await self._query(
            "SELECT engine FROM system.databases WHERE name = currentDatabase()"
        )
        if engine in _ENGINES:
            return []
        return [f"the database's engine is {engine}, which cannot exchange tables"]

    async def make(self, connection: Connection, shadow: Shadow) -> None:
        # Whatever is there belongs to no rebuild that PostgreSQL knows.
        await self.drop(connection, shadow)
        for table in TABLES:
            await self._command(f"CREATE TABLE {table}{_BESIDE} AS {table}")
            await self._command(f"ALTER TABLE {table}{_BESIDE} MODIFY COMMENT '{_mark(shadow)}'")
        fill = await self._fill_over(_BESIDE)
        await self._command(
            f"CREATE MATERIALIZED VIEW {_FILL}{_BESIDE} TO {TIMES}{_BESIDE} AS {fill}"
        )

    async def complete(self, connection: Connection, shadow: Shadow) -> None:
        """All is there: ClickHouse merges by itself."""

    async def fits(self, _: Connection, __: Shadow) -> bool:
        for table in TABLES:
            live, beside = [
                (
                    await self._query(_SHAPE, table=table + suffix),
                    [engine for _, engine, _ in await self._query(_TABLE, table=table + suffix)],
                )
                for suffix in ("", _BESIDE)
            ]
            if live != beside:
                return False
        ((_, _, beside_fill),) = await self._query(_TABLE, table=_FILL + _BESIDE)
        return bool(beside_fill == await self._fill_over(_BESIDE))

    async def compare(self, connection: Connection, shadow: Shadow) -> Comparison:
        return await compare(connection, self._query, shadow, _BESIDE)

    async def switch(self, _: Connection, shadow: Shadow, *, forth: bool) -> None:
        for table in TABLES:
            ((comment, _, _),) = await self._query(_TABLE, table=table)
            if (comment == _mark(shadow)) != forth:
                await self._command(f"EXCHANGE TABLES {table} AND {table}{_BESIDE}")

    async def drop(self, _: Connection, __: Shadow) -> None:
        for table in (_FILL, *TABLES):
            await self._command(f"DROP TABLE IF EXISTS {table}{_BESIDE} SYNC")

    async def sizes(self, _: Connection) -> dict[str, int]:
        rows = await self._query(
            "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active"
            " AND database = currentDatabase() AND table IN {tables:Array(String)} GROUP BY table",
            tables=list(TABLES),
        )
        found = dict(rows)
        return {table: int(found.get(table, 0)) for table in TABLES}

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _fill_over(self, suffix: str) -> str:
        """What the view of jobs' times selects, over the events of this suffix."""
        ((_, _, select),) = await self._query(_TABLE, table=_FILL)
        return re.sub(rf"\b{EVENTS}\b(?=[` ]|$)", EVENTS + suffix, str(select))

    async def _query(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await asyncio.to_thread(self._ask, query, values)]

    async def _command(self, command: str) -> None:
        await asyncio.to_thread(self._ask, command, None)

    def _ask(self, query: str, values: dict[str, Any] | None) -> Any:
        import clickhouse_connect
        from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

        try:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    dsn=self._url, autogenerate_session_id=False, query_retries=0
                )
            if values is None:
                return self._client.command(query)
            return self._client.query(query, parameters=values).result_rows
        except OperationalError as error:
            raise UnavailableError(no_answer("ClickHouse", error)) from error
        except ClickHouseError as error:
            raise UnavailableError(f"ClickHouse refused a step of the rebuild: {error}") from error


def _mark(shadow: Shadow) -> str:
    """What the tables of this rebuild say of themselves, and no others."""
    return f"made by the rebuild of {shadow.made_at.timestamp():.6f}"
