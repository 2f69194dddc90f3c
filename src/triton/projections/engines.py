"""Owns opening the log and both stores together, for who compares them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from triton.errors import UnavailableError, no_answer
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.history import History, open_past
from triton.projections.checkpoint import Connection
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
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        clickhouse = await asyncio.to_thread(
            clickhouse_connect.get_client, dsn=settings.clickhouse_url
        )
        with clickhouse:
            async with (
                connect_async(settings.redis_url) as client,
                await psycopg.AsyncConnection.connect(
                    settings.database_url, autocommit=True, connect_timeout=10
                ) as connection,
            ):
                log = await Log.open(
                    client,
                    Scripts(),
                    settings.namespace,
                    settings.partitions,
                    secrets.token_hex(8),
                )
                yield Engines(History.over(log, open_past(settings)), connection, clickhouse)
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    except ClickHouseError as error:
        raise UnavailableError(no_answer("ClickHouse", error)) from error
