"""Owns the comparison of both projectors with raw COPY and raw insert of the very rows that they leave."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import clickhouse_connect
import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from bench import history
from bench.accounting import Foreign
from bench.scale import Scale
from bench.servers import engines
from bench.table import Goal, Measure, Sample, lines
from triton import migrate
from triton.events.client import connect, connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.projections.checkpoint import Lease
from triton.projections.clickhouse import SETTINGS, ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import Projection, Projector
from triton.projections.rows import COLUMNS
from triton.projections.running import collect_rarely

T = TypeVar("T")
NAMESPACE = "bench"
GOAL = Goal("ratio", "at least", 0.6)
TABLES = ("job_events", "job_submissions", "job_states")
#: (what stands beside the projector, the measure)
MEASURES = (
    (
        "COPY of the same rows, rendered before",
        Measure("PostgreSQL projector", "events/s", "pg", "copy", GOAL, 0, "pg"),
    ),
    (
        "COPY of the history alone",
        Measure("PostgreSQL projector", "events/s", "pg", "copy_events", None, 0, "pg"),
    ),
    (
        "the driver's COPY of the same rows as Python values",
        Measure("PostgreSQL projector", "events/s", "pg", "copy_values", None, 0, "pg"),
    ),
    (
        "insert of the same rows, rendered before",
        Measure("ClickHouse projector", "events/s", "ch", "insert", GOAL, 0, "ch"),
    ),
    (
        "the same insert with the view that follows",
        Measure("ClickHouse projector", "events/s", "ch", "view", None, 0, "ch"),
    ),
    (
        "the driver's insert of the same rows as Python values",
        Measure("ClickHouse projector", "events/s", "ch", "insert_values", None, 0, "ch"),
    ),
)


class _Stores:
    """A database of its own in each store, for one turn."""

    def __init__(self, database_url: str, clickhouse_url: str) -> None:
        name = "b" + secrets.token_hex(4)
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
            client.command(f"CREATE DATABASE {name}")
        self.database_url = database_url.replace("@/triton?", f"@/{name}?")
        self.clickhouse_url = clickhouse_url.rpartition("/")[0] + "/" + name
        migrate.up(self.database_url, self.clickhouse_url)


def run(scale: Scale) -> list[str]:
    ours: list[Sample] = []
    raw: list[Sample] = []
    with engines() as started:
        with connect(started.redis_url) as client:
            events = history.write(client, NAMESPACE, scale.events)
        for turn in range(scale.repeats):
            stores = _Stores(started.database_url, started.clickhouse_url)
            with Foreign() as postgres:
                pg = asyncio.run(catch_up(started.redis_url, stores, PostgresProjection(), events))
            copied = raw_copy(stores.database_url, turn)
            with Foreign() as clickhouse:
                projection = ClickHouseProjection(stores.clickhouse_url)
                ch = asyncio.run(catch_up(started.redis_url, stores, projection, events))
                projection.close()
            inserted = raw_insert(stores.clickhouse_url)
            ours.append(
                {
                    "pg": events / pg,
                    "ch": events / ch,
                    "foreign:pg": postgres.cores,
                    "foreign:ch": clickhouse.cores,
                }
            )
            raw.append({**copied, **inserted})
    return [line for name, measure in MEASURES for line in lines([measure], ours, raw, name)]


async def catch_up(redis_url: str, stores: _Stores, projection: Projection, events: int) -> float:
    """Seconds that a fresh projector needs for the whole log."""
    collect_rarely()  # as the projectors' process does
    client = connect_async(redis_url)
    log = await Log.open(client, Scripts(), NAMESPACE, 1, "bench")
    async with await psycopg.AsyncConnection.connect(
        stores.database_url, autocommit=True
    ) as connection:
        lease = await Lease.acquire(
            connection, projection.name, 0, epoch=log.epochs[0], owner="bench"
        )
        assert lease is not None, "another projector holds a checkpoint of a fresh database"
        stop = asyncio.Event()
        begin = time.monotonic()
        task = asyncio.create_task(Projector(log, projection, lease).run(stop))
        while lease.checkpoint.position < events and not task.done():
            await asyncio.wait({task}, timeout=0.005)
        seconds = time.monotonic() - begin
        stop.set()
        await task
    await client.aclose()
    return seconds


def raw_copy(database_url: str, turn: int) -> dict[str, float]:
    """The rows that the projector left, copied into empty tables of the same shape, in transactions as
    large: all three tables as text that is ready, the history alone, all three as Python values.
    Who comes first, and finds the least room prepared in files, changes with every turn."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.adapters.register_loader("jsonb", TextLoader)
        texts = {table: _texts(connection, table) for table in TABLES}
        count = len(texts["job_events"])
        pieces = -(-count // PostgresProjection.batch)
        text = [[b"".join(_piece(texts[t], n, pieces)) for t in TABLES] for n in range(pieces)]
        values = {table: _values(connection, table) for table in TABLES}

        def write_text(tables: Sequence[str], number: int) -> None:
            for table, block in zip(tables, text[number], strict=False):
                with connection.cursor().copy(f"COPY raw_{table} FROM STDIN") as copy:
                    copy.write(block)

        def write_values(number: int) -> None:
            for table in TABLES:
                with connection.cursor().copy(f"COPY raw_{table} FROM STDIN") as copy:
                    for row in _piece(values[table], number, pieces):
                        copy.write_row(row)

        ways: list[tuple[str, Callable[[int], None]]] = [
            ("copy", partial(write_text, TABLES)),
            ("copy_events", partial(write_text, TABLES[:1])),
            ("copy_values", write_values),
        ]
        figures = {}
        with Foreign() as foreign:
            for key, write in ways[turn % 3 :] + ways[: turn % 3]:
                _empty(connection)
                begin = time.monotonic()
                for number in range(pieces):
                    with connection.transaction():
                        write(number)
                figures[key] = count / (time.monotonic() - begin)
    return {**figures, "foreign:pg": foreign.cores}


def _empty(connection: psycopg.Connection[Any]) -> None:
    for table in TABLES:
        connection.execute(f"DROP TABLE IF EXISTS raw_{table}")
        connection.execute(f"CREATE TABLE raw_{table} (LIKE {table} INCLUDING ALL)")


def _texts(connection: psycopg.Connection[Any], table: str) -> list[bytes]:
    with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(bytes(part) for part in copy).splitlines(keepends=True)


def _values(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()


def _piece(found: Sequence[T], number: int, pieces: int) -> Sequence[T]:
    """One of so many even pieces."""
    begin, end = (len(found) * n // pieces for n in (number, number + 1))
    return found[begin:end]


def raw_insert(clickhouse_url: str) -> dict[str, float]:
    """The rows that the projector left, inserted as many at a time into an empty table of the same shape: as
    text that is ready, the same with the view that follows from it, and as Python values."""
    columns = ", ".join(COLUMNS)
    with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
        select = f"SELECT {columns} FROM job_events ORDER BY position"
        found = client.raw_query(f"{select} FORMAT TabSeparated").splitlines(keepends=True)
        values = client.query(select).result_rows
        pieces = -(-len(found) // ClickHouseProjection.batch)
        blocks = [b"".join(_piece(found, n, pieces)) for n in range(pieces)]
        figures = {}
        for table in ("raw_events", "raw_values"):
            client.command(f"CREATE TABLE {table} AS job_events")

        def timed(insert: Callable[[int, dict[str, Any]], object]) -> float:
            begin = time.monotonic()
            for n in range(pieces):
                insert(n, {**SETTINGS, "insert_deduplication_token": f"raw-{n}"})
            return len(found) / (time.monotonic() - begin)

        def ready(table: str) -> Callable[[int, dict[str, Any]], object]:
            return lambda n, settings: client.raw_insert(
                table, COLUMNS, blocks[n], fmt="TabSeparated", settings=settings
            )

        with Foreign() as foreign:
            figures["insert"] = timed(ready("raw_events"))
            client.command("TRUNCATE TABLE job_events")
            client.command("TRUNCATE TABLE job_times")
            figures["view"] = timed(ready("job_events"))
            figures["insert_values"] = timed(
                lambda n, settings: client.insert(
                    "raw_values", _piece(values, n, pieces), COLUMNS, settings=settings
                )
            )
    return {**figures, "foreign:ch": foreign.cores}
