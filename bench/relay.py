"""Owns the floor of the ClickHouse projector: its pages read, its blocks sent, and nothing between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import clickhouse_connect

from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.projections.clickhouse import SETTINGS, ClickHouseProjection
from triton.projections.projector import PAGE
from triton.projections.rows import COLUMNS

#: As a projector: one page is read while another is asked for.
_ASKED = 2


async def relay(
    redis_url: str, namespace: str, clickhouse_url: str, blocks: Sequence[bytes], events: int
) -> float:
    """Seconds in which all pages are read and the ready blocks inserted, each once its pages came."""
    batch = ClickHouseProjection.batch
    with clickhouse_connect.get_client(dsn=clickhouse_url) as client:

        def insert(number: int) -> None:
            client.raw_insert(
                "job_events",
                column_names=COLUMNS,
                insert_block=blocks[number],
                fmt="Native",
                settings=SETTINGS,
            )

        async with connect_async(redis_url) as redis:
            log = await Log.open(redis, Scripts(), namespace, 1, "bench")
            begin = time.monotonic()
            inserting: asyncio.Future[None] | None = None
            for number, first in enumerate(range(0, events, batch)):
                await _read(log, first, min(events, first + batch))
                if inserting is not None:
                    await inserting
                inserting = asyncio.ensure_future(asyncio.to_thread(insert, number))
            if inserting is not None:
                await inserting
            return time.monotonic() - begin


async def _read(log: Log, begin: int, end: int) -> None:
    asked = []
    for after in range(begin, end, PAGE):
        asked.append(asyncio.ensure_future(log.page(0, after, count=min(PAGE, end - after))))
        if len(asked) == _ASKED:
            await asked.pop(0)
    await asyncio.gather(*asked)
