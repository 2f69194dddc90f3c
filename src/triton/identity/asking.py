"""Owns asking PostgreSQL about identities: one transaction each, and every silence as one of our errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from triton.domain.connection import platform_connection
from triton.errors import UnavailableError
from triton.identity.statements import sql

#: Seconds that a request waits for a connection.
_WAIT: Final = 2.0

Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]
Connection = psycopg.AsyncConnection[DictRow]


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a transaction, of the platform: who asks is not known yet, or manages others. Raises
    UnavailableError."""
    try:
        async with platform_connection(pool, wait=_WAIT) as connection:
            yield connection
    except psycopg.errors.UndefinedTable as error:
        raise UnavailableError(
            "PostgreSQL has no tables of identities yet: run `triton migrate up`"
        ) from error
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise UnavailableError(
            "PostgreSQL, which knows users and keys, does not answer; try again"
        ) from error


async def rows(connection: Connection, statement: str, **values: Any) -> list[DictRow]:
    """What a statement of `triton/identity/sql` answers; nothing where it answers no rows."""
    cursor = await connection.execute(sql(statement), values)
    return await cursor.fetchall() if cursor.description is not None else []


async def row(connection: Connection, statement: str, **values: Any) -> DictRow | None:
    """The first one."""
    found = await rows(connection, statement, **values)
    return found[0] if found else None
