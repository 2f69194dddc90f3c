"""Owns the fixtures of the projections' tests: a log to write, migrated stores, and their settings."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import clickhouse_connect
import msgspec
import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter

from triton import migrate
from triton.settings import Settings
from triton.stack.engines import Engines


@pytest.fixture(scope="session")
def stores(engines: Engines) -> Iterator[Settings]:
    """A database in each store with all tables, for the projections' tests; one costs half a second."""
    name = "t" + secrets.token_hex(5)
    settings = Settings(
        redis_url=engines.redis_url,
        database_url=engines.database_url.replace("@/triton?", f"@/{name}?"),
        clickhouse_url=f"{engines.clickhouse_url.rpartition('/')[0]}/{name}",
    )
    with (
        psycopg.connect(engines.database_url, autocommit=True) as admin,
        clickhouse_connect.get_client(dsn=engines.clickhouse_url) as client,
    ):
        admin.execute(f"CREATE DATABASE {name}")
        client.command(f"CREATE DATABASE {name}")
        migrate.up(settings.database_url, settings.clickhouse_url)
        yield settings
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture(scope="session")
def emptying(stores: Settings) -> Iterator[Client]:
    """A client that stays: to make one asks ClickHouse more than to empty two tables."""
    with clickhouse_connect.get_client(dsn=stores.clickhouse_url) as client:
        yield client


@pytest.fixture
def settings(stores: Settings, emptying: Client, namespace: str) -> Settings:
    """Empty tables, and a namespace in Redis."""
    with psycopg.connect(stores.database_url, autocommit=True) as connection:
        connection.execute(
            "TRUNCATE job_events, job_states, job_submissions, checkpoints, parked_events, insert_intents,"
            " log_epochs, lost_events, failed_jobs, segments, tree_heads, holds, retention,"
            " expiries"
        )
        for name in ("postgres", "clickhouse"):
            connection.execute(f"DROP SCHEMA IF EXISTS triton_shadow_{name} CASCADE")
    for table in ("job_events", "job_times"):
        emptying.command(f"TRUNCATE TABLE {table} SYNC")
    return msgspec.structs.replace(stores, namespace=namespace)


@pytest.fixture(scope="session")
def database_template(migrated_template: str) -> str:
    return migrated_template


@pytest.fixture
def own_stores(settings: Settings, database_url: str, clickhouse_database: str) -> Settings:
    """Stores of this test alone, with all tables."""
    url = f"{settings.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}"
    migrate.up(database_url, url)
    return msgspec.structs.replace(settings, database_url=database_url, clickhouse_url=url)


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
