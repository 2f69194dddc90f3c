"""Owns how a process connects to PostgreSQL for work of its own, without a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg

from triton.errors import UnavailableError, no_answer

#: Seconds that connecting may take.
_TIMEOUT: Final = 10


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
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
