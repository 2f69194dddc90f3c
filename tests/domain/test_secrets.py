"""Tenants' secrets at rest: sealed, bound to their place, rotated, and never there in plain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from triton.domain import secret_store
from triton.domain.connection import enter
from triton.domain.key_ring import KeyRing, RingFile
from triton.errors import ConfigurationError, DecodeError, NotFoundError

PLAIN = b"correct horse battery staple"


@pytest.fixture
def file(tmp_path: Path) -> RingFile:
    return RingFile((tmp_path / "ring.json").as_uri())


def put(database_url: str, ring: KeyRing, tenant: str, name: str, plain: bytes = PLAIN) -> int:
    async def run() -> int:
        async with (
            await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
            connection.transaction(),
        ):
            await connection.execute("SELECT set_config('triton.tenant', %s, true)", (tenant,))
            return await secret_store.put(
                connection, ring, plain, tenant=tenant, name=name, by="user:test"
            )

    return asyncio.run(run())


def get(database_url: str, ring: KeyRing, tenant: str, name: str) -> bytes:
    with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction():
        enter(connection, tenant)
        return secret_store.get_now(connection, ring, tenant=tenant, name=name)


def test_a_secret_opens_for_its_tenant_and_is_nowhere_in_plain(
    database_url: str, file: RingFile
) -> None:
    ring = file.read()
    assert [put(database_url, ring, "alpha", "s", plain) for plain in (b"old", PLAIN)] == [1, 2]
    assert get(database_url, ring, "alpha", "s") == PLAIN
    with pytest.raises(NotFoundError):
        get(database_url, ring, "beta", "s")
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT t::text, sealed FROM tenant_secrets t").fetchone()
    assert row is not None
    assert PLAIN.hex() not in row[0]
    assert PLAIN not in row[1]


@pytest.mark.parametrize(
    "change", ["tenant = 'beta'", "name = 't'", "version = 2", "sealed = sealed || '\\x00'"]
)
def test_a_row_that_was_moved_or_changed_does_not_open(
    database_url: str, file: RingFile, change: str
) -> None:
    ring = file.read()
    put(database_url, ring, "alpha", "s")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO organizations VALUES ('beta', 'Beta', now(), 'user:x')")
        connection.execute(f"UPDATE tenant_secrets SET {change}".encode())
        tenant, name = connection.execute("SELECT tenant, name FROM tenant_secrets").fetchall()[0]
    with pytest.raises(DecodeError, match="does not open"):
        get(database_url, ring, tenant, name)


def test_a_rotation_seals_all_tenants_anew_and_drops_keys_from_before_the_last(
    database_url: str, file: RingFile
) -> None:
    first = file.read()
    for tenant in ("alpha", "beta"):
        put(database_url, first, tenant, "s")
    key, sealed = secret_store.rotate(database_url, file)
    second = file.read()
    assert (second.active, sealed, set(second.keys)) == (key, 2, {first.active, key})
    assert get(database_url, second, "beta", "s") == PLAIN
    with pytest.raises(ConfigurationError, match="the ring has not"):
        get(database_url, first, "alpha", "s")
    # Who still sealed with the old ring is not lost.
    put(database_url, first, "gamma", "s")
    assert get(database_url, second, "gamma", "s") == PLAIN
    third, sealed = secret_store.rotate(database_url, file)
    assert (sealed, set(file.read().keys)) == (3, {key, third})
    assert get(database_url, file.read(), "gamma", "s") == PLAIN


def test_the_ring_is_private_kept_and_checked(tmp_path: Path, file: RingFile) -> None:
    ring = file.read()
    path = tmp_path / "ring.json"
    assert (path.stat().st_mode & 0o777, file.read()) == (0o600, ring)
    assert list(tmp_path.iterdir()) == [path]
    for text in ("{", '{"active": "a", "keys": {}}', '{"active": "a", "keys": {"a": "AAAA"}}'):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="malformed"):
            file.read()
    for url in ("", "https://x/y", "file://host/x"):
        with pytest.raises(ConfigurationError, match="TRITON_TENANT_KEYS"):
            RingFile(url)
