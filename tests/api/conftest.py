"""Owns the fixtures of the API's tests: a migrated database, one server per module, hands for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from live_api import Hand, LiveApi

from triton.settings import Settings
from triton.stack.engines import Engines


@pytest.fixture(scope="module")
def module_settings(
    engines: Engines, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """A namespace, a database and an archive for the tests of one module."""
    name = "t" + secrets.token_hex(5)
    archive: Path = tmp_path_factory.mktemp("archive")
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
        try:
            yield Settings(
                redis_url=engines.redis_url,
                database_url=engines.database_url.replace("@/triton?", f"@/{name}?"),
                clickhouse_url=engines.clickhouse_url,
                archive_url=archive.as_uri(),
                data=str(tmp_path_factory.mktemp("data")),
                tenant_keys=(archive.parent / f"{name}.keys.json").as_uri(),
                auth="off",
                namespace=name,
                max_document_bytes=1_000_000,
            )
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[LiveApi]:
    """One server for the tests of a module."""
    with LiveApi(module_settings) as live:
        yield live


@pytest.fixture(scope="module")
def hand(module_settings: Settings) -> Hand:
    return Hand(module_settings.redis_url, module_settings.namespace)


@pytest.fixture
def subscribe_url(api: LiveApi) -> Callable[[str], str]:
    return lambda job: f"{api.url}/api/v1/jobs/{job}/subscribe"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, where Debian's package is installed."""
    from chromium import CHROMIUM, QUIET, start

    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with start() as engine, engine.chromium.launch(executable_path=CHROMIUM, args=QUIET) as started:
        yield started
