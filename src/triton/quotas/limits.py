"""Owns what each tenant's limits are, as a process knows them: read from PostgreSQL, and kept for seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from triton.domain.connection import tenant_connection
from triton.domain.statements import sql
from triton.observe.logger import get_logger

#: Seconds for which limits are believed, and tenants that are remembered.
FRESH: Final = 5.0
_MOST: Final = 10_000

_log = get_logger("triton.quotas")


class Limits(msgspec.Struct, frozen=True):
    """None is no limit. Bytes are those of documents."""

    jobs_per_second: float | None = None
    max_pending: int | None = None
    max_stored_bytes: int | None = None
    max_streams: int | None = None


UNLIMITED: Final = Limits()


class LimitBook:
    """The limits of every tenant that was asked for. Not for several threads."""

    def __init__(
        self, pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]], *, fresh: float = FRESH
    ) -> None:
        self._pool = pool
        self._fresh = fresh
        self._known: dict[str, tuple[float, Limits]] = {}
        self._reading: dict[str, asyncio.Task[Limits]] = {}

    async def of(self, tenant: str) -> Limits:
        """The tenant's limits; no tenant has none. What is known but old is answered at once, and read again
        beside; while PostgreSQL is away, what was known last holds, and who was never asked for has none."""
        if not tenant:
            return UNLIMITED
        known = self._known.get(tenant)
        if known is not None and time.monotonic() - known[0] < self._fresh:
            return known[1]
        task = self._reading.get(tenant)
        if task is None:
            task = self._reading[tenant] = asyncio.create_task(self._read(tenant))
        return known[1] if known is not None else await asyncio.shield(task)

    def known(self, tenant: str) -> Limits:
        """As last read, without a look."""
        return self._known.get(tenant, (0.0, UNLIMITED))[1]

    def limited(self) -> dict[str, Limits]:
        """The tenants with limits that were asked for of late."""
        return {
            tenant: limits
            for tenant, (_, limits) in sorted(self._known.items())
            if limits != UNLIMITED
        }

    def forget(self, tenant: str) -> None:
        """They were changed here: the next question reads them."""
        self._known.pop(tenant, None)

    async def _read(self, tenant: str) -> Limits:
        try:
            async with (
                tenant_connection(self._pool, tenant) as connection,
                connection.cursor(row_factory=class_row(Limits)) as cursor,
            ):
                await cursor.execute(sql("limits"), {"tenant": tenant})
                found = await cursor.fetchone() or UNLIMITED
        except (psycopg.Error, PoolTimeout) as error:
            _log.warning("quota.limits_unknown", tenant=tenant, reason=str(error))
            found = self.known(tenant)
        finally:
            self._reading.pop(tenant, None)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[tenant] = (time.monotonic(), found)
        return found
