"""Owns opening what there is of the log besides Redis, by the settings."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import psycopg
import redis.asyncio

from triton.archive import ArchiveStore, open_archive
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.history.index import Index
from triton.history.past import Past
from triton.history.reader import History
from triton.settings import Settings

#: Seconds that a connection to PostgreSQL may take.
_TIMEOUT: Final = 5


async def log_of(client: redis.asyncio.Redis, settings: Settings) -> Log:
    """The log that the settings describe, made where there is none; raises as `Log.open`."""
    epoch = secrets.token_hex(8)
    return await Log.open(client, Scripts(), settings.namespace, settings.partitions, epoch)


async def history_of(client: redis.asyncio.Redis, settings: Settings) -> History:
    """The same, with its past."""
    return History.over(await log_of(client, settings), open_past(settings))


def open_past(settings: Settings, *, rows: bool = True) -> Past:
    """The archive and the index of these settings, each opened when it is first needed; none where its URL
    is empty. The index connects anew for each question: for processes that ask a few. `rows`: see Past."""

    @cache
    def archive() -> ArchiveStore:
        return open_archive(settings.archive_url)

    @asynccontextmanager
    async def connect() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(
            settings.database_url, autocommit=True, connect_timeout=_TIMEOUT
        ) as connection:
            yield connection

    return Past(
        archive if settings.archive_url else None,
        Index(connect) if settings.database_url else None,
        rows=rows,
    )
