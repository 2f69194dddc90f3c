"""An owner that is no superuser: migrations give it the role of tenants, and policies hold it too."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from triton import migrate
from triton.domain import seeding
from triton.domain.connection import enter, entered
from triton.errors import ConfigurationError
from triton.projections.copying import Copier
from triton.projections.statements import sql
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


def test_an_owner_who_is_no_member_is_told_what_it_takes(engines: Engines, owned: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(owned)["user"]
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"REVOKE triton_tenant FROM {name}".encode())
        with pytest.raises(ConfigurationError, match=f"GRANT triton_tenant TO {name}"):
            migrate.up(owned)
        admin.execute(f"GRANT triton_tenant TO {name}".encode())
    migrate.up(owned)


EVENT = b"0\t%d\t%s\t1\tjob.submitted\t0\t2026-01-31 12:00:00\tuser:x\t%s\tq\t\t\t\t1\t{}\n"


def test_its_projectors_write_where_copy_is_refused(owned: str) -> None:
    migrate.up(owned)
    asyncio.run(write_and_read(owned))


async def write_and_read(owned: str) -> None:
    async with await psycopg.AsyncConnection.connect(owned, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="row-level security"):
            async with connection.cursor().copy(sql("copy_events")):
                pass
        copier = Copier()
        # A lease that was lost and won again opens it again.
        for _ in range(2):
            await copier.open(connection)
        for batch in ([(1, b"one", b"alpha"), (2, b"two", b"beta")], [(3, b"three", b"alpha")]):
            async with connection.transaction():
                await copier.copy(connection, "copy_events", [EVENT % row for row in batch])
        async with connection.transaction():
            with pytest.raises(psycopg.errors.UniqueViolation):
                await copier.copy(connection, "copy_events", [EVENT % (1, b"x", b"alpha")])
            raise psycopg.Rollback
        found = await (await connection.execute("SELECT position FROM job_events")).fetchall()
        assert sorted(found) == [(1,), (2,), (3,)]
        async with entered(connection, "alpha"):
            cursor = await connection.execute("SELECT position FROM job_events ORDER BY 1")
            assert await cursor.fetchall() == [(1,), (3,)]
