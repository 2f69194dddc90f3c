"""Owns opening the log and both stores together, for who compares them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from triton.errors import UnavailableError, no_answer
from triton.events.client import connect_async
from triton.history import History, history_of
from triton.postgres import Connection, connected
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


class Engines(NamedTuple):
    #: With its past: the archive, where one is known.
    log: History
    #: In autocommit mode.
    connection: Connection
    clickhouse: Client


@asynccontextmanager
async def open_engines(settings: Settings) -> AsyncIterator[Engines]:
    """The log and both stores. Raises UnavailableError for what does not answer, also within the block."""
    async with (
        open_clickhouse(settings.clickhouse_url) as clickhouse,
        connect_async(settings.redis_url) as client,
        connected(settings.database_url) as connection,
    ):
        yield Engines(await history_of(client, settings), connection, clickhouse)


@asynccontextmanager
async def open_clickhouse(url: str) -> AsyncIterator[Client]:
    """A client, whose calls block. Raises UnavailableError, also within the block."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        with await asyncio.to_thread(clickhouse_connect.get_client, dsn=url) as client:
            yield client
    except ClickHouseError as error:
        raise UnavailableError(no_answer("ClickHouse", error)) from error
