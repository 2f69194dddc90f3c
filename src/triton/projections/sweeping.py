"""Owns that what expired leaves the stores too: the rows of events whose bytes the archive has no more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import psycopg

from triton.checkpoints.keeping import pause
from triton.errors import TritonError, UnavailableError
from triton.observe.logger import get_logger
from triton.postgres import Connection, connected
from triton.projections.statements import sql
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Events that one statement removes from PostgreSQL, about.
_MOST: Final = 10_000
#: Seconds between two looks at most.
_LOOK: Final = 600.0
#: A mutation has happened when it is answered.
_SYNC: Final = {"mutations_sync": 2, "allow_nondeterministic_mutations": 1}


async def run_sweeping(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set; never where TRITON_EXPIRE_MS is 0. What fails is said, and tried again."""
    if not settings.expire_ms:
        return
    say = get_logger("triton.projector")
    seconds = min(settings.expire_ms / 1000, _LOOK)
    while not stop.is_set():
        try:
            for store, events in (await sweep_once(settings)).items():
                if events:
                    say.info("projector.swept", store=store, events=events)
        except psycopg.errors.UndefinedTable:
            pass  # the projectors themselves say that there is no schema
        except (TritonError, psycopg.Error, OSError) as error:
            say.warning("projector.sweep_waiting", error=str(error), again_in_seconds=seconds)
        await pause(stop, seconds)


async def sweep_once(settings: Settings) -> dict[str, int]:
    """Opens both stores, and sweeps them. Raises UnavailableError, psycopg.Error."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    async with connected(settings.database_url) as connection:
        bounds = await _bounds(connection)
        if not bounds:
            return {}
        try:
            client = await asyncio.to_thread(
                clickhouse_connect.get_client, dsn=settings.clickhouse_url
            )
            with client:
                return await sweep(connection, client)
        except ClickHouseError as error:
            raise UnavailableError(f"ClickHouse did not remove what expired: {error}") from error


async def sweep(connection: Connection, clickhouse: Client) -> dict[str, int]:
    """How many expired events each store had, and has no more. Nothing while another process does that.

    The connection is in autocommit mode. May be killed anywhere, and repeated.
    """
    cursor = await connection.execute(sql("sweep_lock"))
    if not await _first(cursor):
        return {}
    found: dict[str, int] = {}
    try:
        for store, partition, until in await _bounds(connection):
            values = {"partition": partition, "until": until}
            if store == "postgres":
                events = await _from_postgres(connection, values)
            else:
                events = await asyncio.to_thread(_from_clickhouse, clickhouse, values)
            await connection.execute(sql("sweep_parked"), {**values, "projector": store})
            found[store] = found.get(store, 0) + events
    finally:
        if not connection.closed:
            await connection.execute(sql("sweep_unlock"))
    return found


async def _bounds(connection: Connection) -> list[tuple[str, int, int]]:
    cursor = await connection.execute(sql("sweep_bounds"))
    return [tuple(row) for row in await cursor.fetchall()]


async def _from_postgres(connection: Connection, values: dict[str, int]) -> int:
    events = 0
    while gone := await _first(await connection.execute(sql("sweep"), {**values, "most": _MOST})):
        events += gone
    return events


def _from_clickhouse(client: Client, values: dict[str, int]) -> int:
    count = client.query(sql("sweep_count_clickhouse").decode(), parameters=values)
    events = int(count.result_rows[0][0])
    if events:
        for name in ("sweep_times_clickhouse", "sweep_clickhouse"):
            client.command(sql(name).decode(), parameters=values, settings=_SYNC)
    return events


async def _first(cursor: psycopg.AsyncCursor[Any]) -> Any:
    row = await cursor.fetchone()
    return row[0] if row else None
