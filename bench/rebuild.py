"""Owns the comparison of a whole rebuild of `jobs` with raw COPY of the very rows that it leaves."""

from __future__ import annotations

import asyncio
import secrets
import time

import msgspec
import psycopg

from bench import history
from bench.accounting import Foreign
from bench.projectors import GOAL, NAMESPACE, Left, Stores, catch_up, raw_copy
from bench.scale import Scale
from bench.servers import engines
from bench.table import Measure, Sample, lines
from triton.collecting import collect_rarely
from triton.events.client import connect, connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.history import History, Past
from triton.projections.postgres import PostgresProjection
from triton.projections.rebuild.postgres_tables import PostgresTables
from triton.projections.rebuild.running import Rebuild

MEASURES = (
    Measure("rebuild of `jobs`, its indexes too", "events/s", "rebuild", "copy", GOAL, 0, "pg"),
)


def run(scale: Scale) -> list[str]:
    ours: list[Sample] = []
    raw: list[Sample] = []
    with engines() as started:
        with connect(started.redis_url) as client:
            events = history.write(client, NAMESPACE, scale.rebuilt)
        stores = Stores(started.database_url, started.clickhouse_url)
        asyncio.run(catch_up(started.redis_url, stores, PostgresProjection(), events))
        left = Left(stores, [])
        for turn in range(scale.repeats):
            for ready in (turn % 2 == 0, turn % 2 == 1):
                stores = Stores(started.database_url, started.clickhouse_url)
                if ready:
                    raw.append(raw_copy(stores, left, turn))
                else:
                    with Foreign() as foreign:
                        seconds = asyncio.run(rebuilt(started.redis_url, stores))
                    ours.append({"rebuild": events / seconds, "foreign:pg": foreign.cores})
    return lines(MEASURES, ours, raw, "COPY of the same rows, rendered before, with all indexes")


async def rebuilt(redis_url: str, stores: Stores) -> float:
    """Seconds that a rebuild needs until it could be switched in."""
    collect_rarely()
    async with (
        connect_async(redis_url) as client,
        await psycopg.AsyncConnection.connect(stores.database_url, autocommit=True) as connection,
    ):
        log = await Log.open(client, Scripts(), NAMESPACE, 1, secrets.token_hex(8))
        rebuild = Rebuild(
            History.over(log, Past()), connection, stores.database_url, PostgresTables()
        )
        begin = time.monotonic()
        filled = await rebuild.fill()
        seconds = time.monotonic() - begin
        assert filled.state == "ready", msgspec.to_builtins(filled)
    return seconds
