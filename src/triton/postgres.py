"""Owns connections to PostgreSQL for a process's own work, without a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import psycopg

from triton.errors import UnavailableError, no_answer

#: In autocommit mode, where nothing else is said; transactions are opened by name.
Connection: TypeAlias = psycopg.AsyncConnection[Any]
#: Seconds that connecting may take.
_TIMEOUT: Final = 10


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Connection]:
    """A connection in autocommit mode; transactions are opened by name. `options` are psycopg's.

    Raises UnavailableError where PostgreSQL does not answer, or goes away within the block.
    """
    try:
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, connect_timeout=_TIMEOUT, **options
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
