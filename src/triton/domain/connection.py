"""Owns working in a tenant's name: the one place that tells PostgreSQL whose rows a transaction may touch.

Row-level security reads what is set here. It is set for the transaction and ends with it, however it ends: a
connection that goes back to its pool belongs to nobody.

The API's connections begin as the tenants' role, with no tenant (`step_down`): a request that forgets to say
whose rows it means gets none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from triton.errors import ValidationError

#: Made by the migration: no owner of any table, and nothing that passes row-level security.
ROLE: Final = "triton_tenant"
#: Seconds that a request waits for a connection.
WAIT: Final = 1.0
#: One statement and one trip, with effect until the end of the transaction. The role `none` is the one that
#: the session was opened with.
_ENTER: Final = (
    "SELECT set_config('triton.tenant', %(tenant)s, true), set_config('role', %(role)s, true)"
)
_SESSION: Final = "none"
#: Everything that is asked in the transaction is of one moment, and nothing is changed.
_ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"


async def step_down(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let a connection of a pool begin as the tenants' role: for `configure` of a pool.

    A server that has no such role has no tables of Triton either, as far as this process can know; what is
    asked of it fails by itself.
    """
    with suppress(psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(ROLE)))


@asynccontextmanager
async def tenant_connection(
    pool: AsyncConnectionPool[Any], tenant: str, *, wait: float = WAIT
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection within one transaction that sees and writes the rows of `tenant` and no others.

    It is committed at the end of the block, and rolled back where the block raises or is cancelled.
    Raises ValidationError for an empty tenant; psycopg's errors and PoolTimeout as they come.
    """
    check_tenant(tenant)
    async with pool.connection(timeout=wait) as connection, entered(connection, tenant):
        yield connection


@asynccontextmanager
async def platform_connection(
    pool: AsyncConnectionPool[Any], *, wait: float = WAIT
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection within one transaction that sees all tenants: for who is of the platform, and for what is
    asked before it is known whose it is. Raises as `tenant_connection`."""
    async with pool.connection(timeout=wait) as connection, connection.transaction():
        await connection.execute(_ENTER, {"tenant": "", "role": _SESSION})
        yield connection


@asynccontextmanager
async def reading_connection(
    pool: AsyncConnectionPool[Any],
    tenant: str | None,
    *,
    wait: float = WAIT,
    one_moment: bool = False,
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection within one transaction that sees the rows of `tenant`; None is all tenants. With
    `one_moment` all statements see the same, and none may write. Raises as `tenant_connection`."""
    if tenant is not None:
        check_tenant(tenant)
    values = {"tenant": tenant or "", "role": _SESSION if tenant is None else ROLE}
    async with pool.connection(timeout=wait) as connection, connection.transaction():
        if one_moment:
            await connection.execute(_ONE_MOMENT)
        await connection.execute(_ENTER, values)
        yield connection


@asynccontextmanager
async def entered(connection: psycopg.AsyncConnection[Any], tenant: str) -> AsyncIterator[None]:
    """The same for a connection that is at hand."""
    check_tenant(tenant)
    async with connection.transaction():
        await connection.execute(_ENTER, {"tenant": tenant, "role": ROLE})
        yield


@asynccontextmanager
async def owner_connection(
    pool: AsyncConnectionPool[Any], tenant: str, *, wait: float = WAIT
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """As `tenant_connection`, with the rights of the tables' owner: for what is decided about a tenant and
    not by it, such as its limits. An owner that is no superuser sees this tenant's rows alone."""
    check_tenant(tenant)
    async with pool.connection(timeout=wait) as connection, connection.transaction():
        await connection.execute(_ENTER, {"tenant": tenant, "role": _SESSION})
        yield connection


def enter(connection: psycopg.Connection[Any], tenant: str) -> None:
    """The same for a plain connection that is in a transaction: until its end it is the tenant's."""
    check_tenant(tenant)
    if connection.info.transaction_status is not psycopg.pq.TransactionStatus.INTRANS:
        # Outside of one it would be set for this statement alone, and what follows would be anybody's.
        raise RuntimeError("a tenant is entered within a transaction: open one around it")
    connection.execute(_ENTER, {"tenant": tenant, "role": ROLE})


def check_tenant(tenant: str) -> None:
    """Raises ValidationError for what is no tenant's name."""
    if not tenant or "\0" in tenant:
        raise ValidationError(
            f"the tenant is {tenant!r}: name the tenant whose data is meant",
            fields=[{"field": "tenant", "message": "is no tenant's name"}],
        )
