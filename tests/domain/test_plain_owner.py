"""An owner that is no superuser: migrations give it the role of tenants, and policies hold it too."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest

from triton import migrate
from triton.domain import seeding
from triton.domain.connection import enter
from triton.stack.engines import Engines


@pytest.fixture
def owned(engines: Engines) -> Iterator[str]:
    """The URL of a fresh database, as an owner who may make roles and nothing else."""
    name = "o" + secrets.token_hex(5)
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE")
        # As the server is when nobody made the role before: its maker may hand it out.
        admin.execute(
            "DO $$ BEGIN CREATE ROLE triton_tenant NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )
        admin.execute(f"GRANT triton_tenant TO {name} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE")
        admin.execute(f"CREATE DATABASE {name} OWNER {name}")
        try:
            yield engines.database_url.replace("triton@/triton?", f"{name}@/{name}?")
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.execute(f"DROP OWNED BY {name} CASCADE")
            admin.execute(f"DROP ROLE {name}")


def test_an_owner_without_rights_of_a_superuser_is_held_too(owned: str) -> None:
    migrate.up(owned)
    assert seeding.seed(owned, "alpha")["clients"] == 3

    with psycopg.connect(owned, autocommit=True) as connection:
        # Forced: the owner itself sees nothing without a tenant.
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (0,)
        for tenant, count in (("alpha", 3), ("beta", 0)):
            with connection.transaction():
                enter(connection, tenant)
                found = connection.execute("SELECT count(*) FROM clients").fetchone()
                assert found == (count,)
                connection.execute("SELECT * FROM generation_jobs")
