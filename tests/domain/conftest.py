"""Owns the fixtures of the domain's tests: a migrated database, and what it holds of two tenants."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from triton import migrate
from triton.stack.engines import Engines


@pytest.fixture(scope="session")
def domain_template(engines: Engines) -> Iterator[str]:
    """A database with all migrations, to copy."""
    name = "t" + secrets.token_hex(5)
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        migrate.up(engines.database_url.replace("@/triton?", f"@/{name}?"))
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def database_template(domain_template: str) -> str:
    return domain_template
