"""Owns the fixtures of the projections' tests: a log to write, migrated stores, and their settings."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import clickhouse_connect
import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter

from triton import migrate
from triton.settings import Settings
from triton.stack.engines import Engines


@pytest.fixture(scope="session")
def database_template(engines: Engines) -> Iterator[str]:
    """A database with all migrations, to copy."""
    name = "t" + secrets.token_hex(5)
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        migrate.up(engines.database_url.replace("@/triton?", f"@/{name}?"))
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(
    engines: Engines, namespace: str, database_url: str, clickhouse_database: str
) -> Settings:
    """Stores with their tables, and a namespace in Redis."""
    clickhouse_url = f"{engines.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}"
    migrate.up(database_url, clickhouse_url)
    return Settings(
        redis_url=engines.redis_url,
        database_url=database_url,
        clickhouse_url=clickhouse_url,
        namespace=namespace,
    )


@pytest.fixture
def writer(settings: Settings, redis_client: object) -> Iterator[LogWriter]:
    """The log of the test's namespace, open for writing; redis_client clears it away."""
    with LogWriter(settings.redis_url, settings.namespace, settings.partitions) as opened:
        yield opened


@pytest.fixture
def postgres(settings: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def clickhouse(settings: Settings) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=settings.clickhouse_url) as client:
        yield client
