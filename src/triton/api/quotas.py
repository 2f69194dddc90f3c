"""Owns asking a tenant's quotas in the name of a request, and telling what it uses of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
from psycopg.rows import dict_row

from triton.api.services import Services
from triton.archive.store import too_large
from triton.domain.connection import tenant_connection
from triton.domain.statements import sql
from triton.domain.store import Connection
from triton.events.submission import Submission


class QuotaUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may use, null for no limit, and what it uses. `pending` counts the jobs that were let in
    under `max_pending`; null where that is no limit. `streams` are those of the process that answers."""

    tenant: str
    jobs_per_second: float | None
    max_pending: int | None
    pending: int | None
    max_stored_bytes: int | None
    stored_bytes: int
    max_streams: int | None
    streams: int


async def admit(services: Services, submissions: Sequence[Submission]) -> None:
    """Let jobs in under their tenants' quotas. Raises QuotaError before anything is submitted."""
    jobs: dict[str, list[str]] = {}
    for one in submissions:
        jobs.setdefault(one.tenant, []).append(one.job)
    for tenant, ids in jobs.items():
        await services.gate.admit(tenant, await services.limits.of(tenant), ids)


async def room(services: Services, tenant: str, most: int) -> int:
    """Bytes that a document may have: `most`, or what the quota leaves. Raises QuotaError for none."""
    limit = (await services.limits.of(tenant)).max_stored_bytes
    if limit is None:
        return most
    used = await stored_bytes(services, tenant)
    if used >= limit:
        raise services.gate.refuse(tenant, "max_stored_bytes", limit, used=used)
    return min(most, limit - used)


@asynccontextmanager
async def storing(services: Services, tenant: str, size: int) -> AsyncIterator[Connection | None]:
    """The tenant's transaction in which a document of `size` bytes is stored, one at a time; None where there
    is no quota. What came meanwhile is counted: the quota holds however many come at once.

    Raises TooLargeError where it is more than what is left, QuotaError where nothing is.
    """
    limit = (await services.limits.of(tenant)).max_stored_bytes
    if limit is None:
        yield None
        return
    async with services.gate.turn(tenant), tenant_connection(services.pool, tenant) as connection:
        await connection.execute(sql("stored_bytes_turn"), {"tenant": tenant})
        used = await _stored(connection, tenant)
        if used >= limit:
            raise services.gate.refuse(tenant, "max_stored_bytes", limit, used=used)
        if used + size > limit:
            raise too_large(limit - used)
        yield connection


async def stored_bytes(services: Services, tenant: str) -> int:
    async with tenant_connection(services.pool, tenant) as connection:
        return await _stored(connection, tenant)


async def _stored(connection: Connection, tenant: str) -> int:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(sql("stored_bytes"), {"tenant": tenant})
        row = await cursor.fetchone()
    return int(row["bytes"]) if row else 0


async def use(services: Services, tenant: str) -> QuotaUse:
    limits = await services.limits.of(tenant)
    counted = limits.max_pending is not None
    return QuotaUse(
        tenant=tenant,
        jobs_per_second=limits.jobs_per_second,
        max_pending=limits.max_pending,
        pending=await services.gate.open_jobs(tenant) if counted else None,
        max_stored_bytes=limits.max_stored_bytes,
        stored_bytes=await stored_bytes(services, tenant),
        max_streams=limits.max_streams,
        streams=services.admission.count("tenant", tenant),
    )


async def told(services: Services, tenant: str) -> list[str]:
    """What `explain` says of a tenant's quotas; nothing where it has none."""
    limits = await services.limits.of(tenant)
    said = []
    if limits.jobs_per_second is not None:
        said.append(f"Tenant {tenant} may submit {limits.jobs_per_second:g} jobs a second.")
    if limits.max_pending is not None:
        pending = await services.gate.open_jobs(tenant)
        said.append(
            f"Tenant {tenant} has {pending} jobs that are not ended, of {limits.max_pending} that it may "
            "have."
        )
    if limits.max_stored_bytes is not None:
        used = await stored_bytes(services, tenant)
        said.append(
            f"Tenant {tenant} has documents of {used} bytes, of {limits.max_stored_bytes} that it may have."
        )
    if limits.max_streams is not None:
        open_ones = services.admission.count("tenant", tenant)
        said.append(
            f"Tenant {tenant} has {open_ones} streams open at this process, of {limits.max_streams} that it "
            "may have."
        )
    return said
