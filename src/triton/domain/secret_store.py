"""Owns tenants' secrets in PostgreSQL: sealed before they get there, and opened by who needs one.

Connections are in the tenant's transaction (`triton.domain.connection`).
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from triton.domain.connection import enter
from triton.domain.key_ring import KeyRing, RingFile, Sealed
from triton.domain.statements import sql
from triton.errors import NotFoundError

_LOCK: Final = (
    "SELECT pg_advisory_xact_lock(hashtextextended('triton.secret ' || %s || ' ' || %s, 0))"
)


async def put(
    connection: psycopg.AsyncConnection[Any],
    ring: KeyRing,
    plain: bytes,
    *,
    tenant: str,
    name: str,
    by: str,
) -> int:
    """Keep the secret; answers its version."""
    await connection.execute(_LOCK, (tenant, name))
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(sql("secret_find"), {"tenant": tenant, "name": name})
        found = await cursor.fetchone()
        version = (found[3] if found else 0) + 1
        sealed = ring.seal(plain, tenant=tenant, name=name, version=version)
        values = {**sealed._asdict(), "tenant": tenant, "name": name, "version": version, "by": by}
        await cursor.execute(sql("secret_put"), values)
    return version


async def get(
    connection: psycopg.AsyncConnection[Any], ring: KeyRing, *, tenant: str, name: str
) -> bytes:
    """The secret. Raises NotFoundError, ConfigurationError, DecodeError."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(sql("secret_find"), {"tenant": tenant, "name": name})
        return _opened(await cursor.fetchone(), ring, tenant, name)


def get_now(connection: psycopg.Connection[Any], ring: KeyRing, *, tenant: str, name: str) -> bytes:
    """The same, over a plain connection in the tenant's transaction: for actors."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(sql("secret_find"), {"tenant": tenant, "name": name})
        return _opened(cursor.fetchone(), ring, tenant, name)


def rotate(database_url: str, file: RingFile) -> tuple[str, int]:
    """Seal every secret of every tenant under a new key, then drop the keys from before the last one.

    Answers the new key's id, and how many secrets it seals. Broken off, both keys are in the ring; the same
    call again does the rest. Raises ConfigurationError, DecodeError, psycopg's errors.
    """
    before = file.read()
    ring = before.rotated()
    file.write(ring)
    sealed = 0
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        tenants = connection.execute("SELECT tenant FROM secret_tenants ORDER BY tenant").fetchall()
        for (tenant,) in tenants:
            with connection.transaction():
                enter(connection, tenant)
                sealed += _reseal(connection, ring, tenant)
    # The key before stays until the next rotation: somebody may just be sealing with it.
    file.write(ring.only({before.active}))
    return ring.active, sealed


def _reseal(connection: psycopg.Connection[Any], ring: KeyRing, tenant: str) -> int:
    rows = connection.execute(
        "SELECT name, version, key, nonce, sealed FROM tenant_secrets FOR UPDATE"
    ).fetchall()
    for name, version, *sealed in rows:
        of = {"tenant": tenant, "name": name, "version": version}
        plain = ring.open(Sealed(*sealed), tenant=tenant, name=name, version=version)
        again = ring.seal(plain, tenant=tenant, name=name, version=version)
        connection.execute(
            "UPDATE tenant_secrets SET key = %(key)s, nonce = %(nonce)s, sealed = %(sealed)s"
            " WHERE tenant = %(tenant)s AND name = %(name)s AND version = %(version)s",
            {**again._asdict(), **of},
        )
    return len(rows)


def _opened(row: tuple[Any, ...] | None, ring: KeyRing, tenant: str, name: str) -> bytes:
    if row is None:
        raise NotFoundError(f"tenant {tenant!r} has no secret {name!r}", secret=name)
    key, nonce, sealed, version = row
    return ring.open(Sealed(key, nonce, sealed), tenant=tenant, name=name, version=version)
