"""Owns the fixtures of the tests of identity: an API that wants to know who asks, and keys for it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from triton.identity.api_keys import new_key
from triton.identity.permissions import Role
from triton.identity.statements import sql
from triton.settings import Settings
from triton.stack.engines import Engines

sys.path.append(str(Path(__file__).parents[1] / "api"))

from doors import MakeKey
from live_api import Hand, LiveApi


@pytest.fixture(scope="module")
def settings(
    engines: Engines, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A namespace, a database and an archive for the tests of one module."""
    name = "t" + secrets.token_hex(5)
    archive: Path = tmp_path_factory.mktemp("archive")
    url = engines.database_url.replace("@/triton?", f"@/{name}?")
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        try:
            yield Settings(
                redis_url=engines.redis_url,
                database_url=url,
                clickhouse_url=engines.clickhouse_url,
                archive_url=archive.as_uri(),
                data=str(tmp_path_factory.mktemp("data")),
                namespace=name,
                access_cache_ms=200,
                password_kib=256,
                login_failures=3,
                login_failures_network=10_000,
            )
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[LiveApi]:
    with LiveApi(settings) as live:
        yield live


@pytest.fixture(scope="module")
def hand(settings: Settings) -> Hand:
    return Hand(settings.redis_url, settings.namespace)


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.database_url, autocommit=True, row_factory=dict_row) as found:
        yield found


@pytest.fixture(scope="module")
def make_key(database: psycopg.Connection) -> MakeKey:
    def make(
        role: Role | str,
        tenant: str = "",
        *,
        scopes: tuple[str, ...] = (),
        expires_at: datetime | None = None,
        owner: str = "",
    ) -> str:
        if tenant:
            database.execute(
                "INSERT INTO organizations (id, name, created_by) VALUES (%s, '', 'test') "
                "ON CONFLICT DO NOTHING",
                (tenant,),
            )
        key = new_key()
        values = {"prefix": key.prefix, "sha256": key.sha256, "name": "test", "tenant": tenant}
        values |= {"role": str(role), "scopes": list(scopes), "owner": owner, "by": "test"}
        database.execute(sql("key_add"), {**values, "expires_at": expires_at})
        return key.text

    return make
