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
from bench.relay import relay
from bench.scale import Scale
from bench.servers import engines
from bench.table import Goal, Measure, Sample, lines
from triton import migrate
from triton.checkpoints.lease import Lease
from triton.collecting import collect_rarely
from triton.events.client import connect, connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.projections.clickhouse import SETTINGS, ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.projections.projector import PAGE, Projection, Projector
from triton.projections.rows import COLUMNS, Piece, RowReader, again

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
        "COPY of the same rows, rendered before",
        Measure("the same, CPU of all processes", "µs/event", "pg:cpu", "copy:cpu", None, 1, "pg"),
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
        "insert of the same blocks, rendered before",
        Measure("ClickHouse projector", "events/s", "ch", "insert", GOAL, 0, "ch"),
    ),
    (
        "insert of the same blocks, rendered before",
        Measure(
            "the same, CPU of all processes", "µs/event", "ch:cpu", "insert:cpu", None, 1, "ch"
        ),
    ),
    (
        "insert of the same blocks, rendered before",
        Measure(
            "its floor: pages read, ready blocks sent", "events/s", "relay", "insert", None, 0, "ch"
        ),
    ),
    (
        "insert of the same blocks, rendered before",
        Measure("the floor's CPU", "µs/event", "relay:cpu", "insert:cpu", None, 1, "ch"),
    ),
    (
        "insert of the same blocks, rendered before",
        Measure(
            "of it the log's server alone, answering", "events/s", "served", "insert", None, 0, "ch"
        ),
    ),
    (
        "insert of the same rows as tab-separated text, rendered before",
        Measure("ClickHouse projector", "events/s", "ch", "insert_text", None, 0, "ch"),
    ),
    (
        "insert of the same rows as JSON, rendered before",
        Measure("ClickHouse projector", "events/s", "ch", "insert_json", None, 0, "ch"),
    ),
    (
        "the first of these with the view that follows",
        Measure("ClickHouse projector", "events/s", "ch", "view", None, 0, "ch"),
    ),
    (
        "the driver's insert of the same rows as Python values",
        Measure("ClickHouse projector", "events/s", "ch", "insert_values", None, 0, "ch"),
    ),
)


class Stores:
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
            events = history.write(client, NAMESPACE, scale.behind)

        def project(stores: Stores) -> Sample:
            figures: dict[str, float] = {}
            for key, projection in (
                ("pg", PostgresProjection()),
                ("ch", ClickHouseProjection(stores.clickhouse_url)),
            ):
                with Foreign() as foreign:
                    seconds = asyncio.run(catch_up(started.redis_url, stores, projection, events))
                projection.close()
                figures |= {key: events / seconds, f"foreign:{key}": foreign.cores}
                figures[f"{key}:cpu"] = foreign.cpu / events * 1e6
            return figures

        def relayed(stores: Stores) -> Sample:
            blocks = left.insert_blocks
            with connect(started.redis_url) as client:
                client.config_resetstat()
                with Foreign() as foreign:
                    seconds = asyncio.run(
                        relay(started.redis_url, NAMESPACE, stores.clickhouse_url, blocks, events)
                    )
                answering = client.info("commandstats")["cmdstat_xrange"]["usec"] / 1e6
            return {
                "relay": events / seconds,
                "relay:cpu": foreign.cpu / events * 1e6,
                "served": events / answering,
            }

        # What is written raw is what the projectors left; and nobody is the first to use the engines.
        stores = Stores(started.database_url, started.clickhouse_url)
        project(stores)
        left = Left(stores, asyncio.run(blocks(started.redis_url)))
        for turn in range(scale.repeats):
            for ready in (turn % 2 == 0, turn % 2 == 1):
                stores = Stores(started.database_url, started.clickhouse_url)
                if ready:
                    raw.append({**raw_copy(stores, left, turn), **raw_insert(stores, left)})
                else:
                    again = Stores(started.database_url, started.clickhouse_url)
                    ours.append({**project(stores), **relayed(again)})
    return [line for name, measure in MEASURES for line in lines([measure], ours, raw, name)]


class Left:
    """The rows that the projectors left, in pieces as large as their batches, in every form."""

    def __init__(self, stores: Stores, native: Sequence[bytes]) -> None:
        with psycopg.connect(stores.database_url, autocommit=True) as connection:
            connection.adapters.register_loader("jsonb", TextLoader)
            texts = {table: _texts(connection, table) for table in TABLES}
            values = {table: _values(connection, table) for table in TABLES}
        self.count = len(texts["job_events"])
        pieces = -(-self.count // PostgresProjection.batch)
        self.copy_texts = [
            [b"".join(_piece(texts[t], n, pieces)) for t in TABLES] for n in range(pieces)
        ]
        self.copy_values = [[_piece(values[t], n, pieces) for t in TABLES] for n in range(pieces)]
        with clickhouse_connect.get_client(dsn=stores.clickhouse_url) as client:
            select = f"SELECT {', '.join(COLUMNS)} FROM job_events ORDER BY position"
            tabs, json = (
                client.raw_query(f"{select} FORMAT {form}").splitlines(keepends=True)
                for form in ("TabSeparated", "JSONCompactEachRow")
            )
            rows = client.query(select).result_rows
        pieces = -(-self.count // ClickHouseProjection.batch)
        self.insert_blocks = native
        self.insert_texts = [b"".join(_piece(tabs, n, pieces)) for n in range(pieces)]
        self.insert_json = [b"".join(_piece(json, n, pieces)) for n in range(pieces)]
        self.insert_values = [_piece(rows, n, pieces) for n in range(pieces)]


async def blocks(redis_url: str) -> list[bytes]:
    """What the ClickHouse projector sends, batch by batch."""
    projection = ClickHouseProjection("")
    reader = RowReader(projection.form)
    sent: list[bytes] = []
    async with connect_async(redis_url) as client:
        log = await Log.open(client, Scripts(), NAMESPACE, 1, "bench")
        after = 0
        pieces: list[Piece] = []
        while page := await log.page(0, after, count=PAGE):
            pieces += reader.read(page)
            after = page.positions[-1]
            if after % projection.batch == 0 or page.size < PAGE:
                sent += (await projection.prepare(again(pieces))).bodies
                pieces.clear()
    return sent


async def catch_up(redis_url: str, stores: Stores, projection: Projection, events: int) -> float:
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


def raw_copy(stores: Stores, left: Left, turn: int) -> dict[str, float]:
    """The rows copied into empty tables of the same shape, in transactions as large: all three tables as text
    that is ready, the history alone, all three as Python values. Who comes first changes with every turn."""
    with psycopg.connect(stores.database_url, autocommit=True) as connection:

        def write_text(tables: Sequence[str], number: int) -> None:
            for table, text in zip(tables, left.copy_texts[number], strict=False):
                with connection.cursor().copy(f"COPY raw_{table} FROM STDIN") as copy:
                    copy.write(text)

        def write_values(number: int) -> None:
            for table, values in zip(TABLES, left.copy_values[number], strict=True):
                with connection.cursor().copy(f"COPY raw_{table} FROM STDIN") as copy:
                    for row in values:
                        copy.write_row(row)

        ways: list[tuple[str, Callable[[int], None]]] = [
            ("copy", partial(write_text, TABLES)),
            ("copy_events", partial(write_text, TABLES[:1])),
            ("copy_values", write_values),
        ]
        figures: dict[str, float] = {}
        with Foreign() as foreign:
            for key, write in ways[turn % 3 :] + ways[: turn % 3]:
                _empty(connection)
                with Foreign() as own:
                    begin = time.monotonic()
                    for number in range(len(left.copy_texts)):
                        with connection.transaction():
                            write(number)
                    figures[key] = left.count / (time.monotonic() - begin)
                figures[f"{key}:cpu"] = own.cpu / left.count * 1e6
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


def raw_insert(stores: Stores, left: Left) -> dict[str, float]:
    """The rows inserted as many at a time into an empty table of the same shape: as blocks that are ready, as
    text, as Python values; and the blocks with the view that follows from them."""
    with clickhouse_connect.get_client(dsn=stores.clickhouse_url) as client:
        figures: dict[str, float] = {}

        def timed(key: str, pieces: Sequence[T], insert: Callable[..., object]) -> None:
            table = f"raw_{key}"
            if key == "view":
                table = "job_events"
            else:
                client.command(f"CREATE TABLE {table} AS job_events")
            with Foreign() as own:
                begin = time.monotonic()
                for piece in pieces:
                    insert(table, piece, column_names=COLUMNS, settings=SETTINGS)
                figures[key] = left.count / (time.monotonic() - begin)
            figures[f"{key}:cpu"] = own.cpu / left.count * 1e6

        def raw(fmt: str) -> Callable[..., object]:
            return lambda table, piece, **more: client.raw_insert(
                table, insert_block=piece, fmt=fmt, **more
            )

        with Foreign() as foreign:
            timed("insert", left.insert_blocks, raw("Native"))
            timed("insert_text", left.insert_texts, raw("TabSeparated"))
            timed("insert_json", left.insert_json, raw("JSONCompactEachRow"))
            timed("view", left.insert_blocks, raw("Native"))
            timed("insert_values", left.insert_values, client.insert)
    return {**figures, "foreign:ch": foreign.cores}
