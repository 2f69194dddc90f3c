"""Row-level security: which tables it is on, that it fails closed, and two tenants over one small pool."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import AsyncConnectionPool

from triton.domain.connection import ROLE, enter, tenant_connection
from triton.errors import ValidationError

#: Written by COPY, or before anybody knows the tenant: not forced, and out of the tenant role's reach.
UNREACHABLE: Final = """
SELECT format('%s.%s', c.table_schema, c.table_name)
FROM information_schema.columns c JOIN pg_class r ON r.relname = c.table_name AND r.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = r.relnamespace AND n.nspname = c.table_schema
WHERE c.column_name = 'tenant' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)
  AND (has_table_privilege('triton_tenant', r.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
       OR has_any_column_privilege('triton_tenant', r.oid, 'SELECT, INSERT, UPDATE'))"""
FORCED: Final = """
SELECT r.relname FROM pg_class r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = 'tenant' AND NOT a.attisdropped
WHERE r.relnamespace = 'public'::regnamespace AND r.relkind = 'r' AND r.relrowsecurity
  AND r.relforcerowsecurity"""
CLIENT: Final = (
    "INSERT INTO clients (tenant, id, name, created_at, created_by, updated_at, updated_by)"
    " VALUES (%s, %s, %s, now(), 'user:test', now(), 'user:test')"
)
A, B = "alpha", "beta"


def add_client(connection: psycopg.Connection, tenant: str, name: str = "One") -> uuid.UUID:
    made = uuid.uuid4()
    with connection.transaction():
        enter(connection, tenant)
        connection.execute(CLIENT, (tenant, made, name))
    return made


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def test_every_table_of_tenants_is_forced_or_out_of_reach(connection: psycopg.Connection) -> None:
    assert connection.execute(UNREACHABLE).fetchall() == []
    forced = {name for (name,) in connection.execute(FORCED)}

    assert forced >= {
        *("tenant_configs", "clients", "value_propositions", "dashboard_templates", "prospects"),
        *("prospect_dashboard_data", "roi_models", "prompts", "prompt_versions", "models"),
        *("executions", "evaluations", "enhancement_history", "documents", "extraction_lineage"),
    }
    unpoliced = connection.execute(
        "SELECT relname FROM pg_class c WHERE relrowsecurity AND NOT EXISTS"
        " (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)"
    )
    assert unpoliced.fetchall() == []


def test_the_tenant_role_owns_nothing_and_passes_nothing(connection: psycopg.Connection) -> None:
    found = connection.execute(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = %s",
        (ROLE,),
    )
    assert found.fetchone() == (False,) * 5
    owned = connection.execute(
        "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = %s", (ROLE,)
    )
    assert owned.fetchall() == []
    kept = connection.execute(
        "SELECT t FROM unnest(ARRAY['prompt_versions', 'enhancement_history', 'tenant_configs']) t"
        " WHERE has_table_privilege(%s, t, 'UPDATE, DELETE')",
        (ROLE,),
    )
    assert kept.fetchall() == []


def test_without_a_tenant_there_is_nothing(connection: psycopg.Connection) -> None:
    add_client(connection, A)

    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {ROLE}")
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (0,)
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            connection.transaction(),
        ):
            connection.execute(CLIENT, (A, uuid.uuid4(), "Two"))
    # A setting that was set once and taken back is an empty text, and not null.
    with connection.transaction():
        enter(connection, A)
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {ROLE}")
        assert connection.execute("SELECT count(*) FROM clients").fetchone() == (0,)


@pytest.mark.parametrize("tenant", ["", "a\0b"])
def test_no_tenant_is_no_name(connection: psycopg.Connection, tenant: str) -> None:
    with connection.transaction(), pytest.raises(ValidationError, match="name the tenant"):
        enter(connection, tenant)


def test_a_tenant_can_neither_write_nor_refer_to_rows_of_another(
    connection: psycopg.Connection,
) -> None:
    theirs = add_client(connection, B)

    def refused(error: type[Exception], statement: str, values: tuple[object, ...]) -> None:
        with pytest.raises(error), connection.transaction():
            enter(connection, A)
            connection.execute(statement.encode(), values)

    refused(psycopg.errors.InsufficientPrivilege, CLIENT, (B, uuid.uuid4(), "Mine"))
    refused(
        psycopg.errors.ForeignKeyViolation,
        "INSERT INTO value_propositions (tenant, id, client, title, created_at, created_by, updated_at,"
        " updated_by) VALUES (%s, %s, %s, 'T', now(), 'x', now(), 'x')",
        (A, uuid.uuid4(), theirs),
    )
    for table in (
        "job_submissions",
        "job_states",
        "job_events",
        "failed_jobs",
        "jobs",
        "retention",
    ):
        refused(psycopg.errors.InsufficientPrivilege, f"SELECT * FROM {table}", ())
    with connection.transaction():
        enter(connection, A)
        changed = connection.execute("UPDATE clients SET name = 'Mine'").rowcount
        gone = connection.execute("DELETE FROM clients").rowcount
    assert (changed, gone) == (0, 0)
    # A tenant may have a row with the id of another's: neither learns of it.
    with connection.transaction():
        enter(connection, A)
        connection.execute(CLIENT, (A, theirs, "One"))


def test_jobs_are_seen_by_their_tenant_and_by_the_owner(connection: psycopg.Connection) -> None:
    for tenant in (A, B):
        connection.execute(
            "INSERT INTO job_submissions"
            " VALUES (%s, %s, 'q', 'a', 0, now(), 'user:x', '', '', '', NULL, NULL, 0)",
            (f"job-{tenant}", tenant),
        )
        connection.execute(
            "INSERT INTO job_states VALUES"
            " (%s, 'pending', 0, 1, 1, 0, '', '', 0, false, '', NULL, NULL, NULL, now(), NULL, NULL)",
            (f"job-{tenant}",),
        )
    seen = "SELECT job FROM generation_jobs ORDER BY job"
    assert connection.execute(seen).fetchall() == [("job-alpha",), ("job-beta",)]
    with connection.transaction():
        enter(connection, B)
        assert connection.execute(seen).fetchall() == [("job-beta",)]
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {ROLE}")
        assert connection.execute(seen).fetchall() == []


class BrokenError(Exception):
    pass


#: What a request does after it entered, and how it ends.
ACTS = st.sampled_from(
    ["read", "write", "steal", "sql error", "raise", "cancel", "kill", "savepoint"]
)
REQUESTS = st.lists(st.tuples(st.sampled_from([A, B]), ACTS), min_size=1, max_size=24)


async def request(
    pool: AsyncConnectionPool[Any], tenant: str, act: str, seen: list[tuple[str, str]]
) -> None:
    async with tenant_connection(pool, tenant, wait=20) as connection:

        async def look() -> None:
            cursor = await connection.execute("SELECT tenant FROM clients")
            seen.extend((tenant, found) for (found,) in await cursor.fetchall())

        await look()
        if act == "write":
            await connection.execute(CLIENT, (tenant, uuid.uuid4(), uuid.uuid4().hex))
        elif act == "steal":
            await connection.execute("UPDATE clients SET tenant = %s", (A if tenant == B else B,))
        elif act == "sql error":
            await connection.execute("SELECT 1 / 0")
        elif act == "raise":
            raise BrokenError
        elif act == "cancel":
            # Short: a cancel that comes before PostgreSQL has begun with it is without effect.
            await connection.execute("SELECT pg_sleep(0.3)")
        elif act == "kill":
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        elif act == "savepoint":
            with contextlib.suppress(psycopg.Error):
                async with connection.transaction():
                    await connection.execute("SELECT 1 / 0")
        await look()


async def clean(pool: AsyncConnectionPool[Any]) -> list[tuple[Any, ...]]:
    """What a connection of the pool says of itself when nobody has it."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT current_user = session_user, coalesce(current_setting('triton.tenant', true), '')"
        )
        return await cursor.fetchall()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=REQUESTS, at_once=st.integers(1, 6), turns=st.integers(0, 30))
def test_two_tenants_over_one_pool_never_see_each_other(
    database_url: str, requests: list[tuple[str, str]], at_once: int, turns: int
) -> None:
    async def run() -> list[tuple[str, str]]:
        seen: list[tuple[str, str]] = []
        async with AsyncConnectionPool(
            database_url, min_size=1, max_size=2, kwargs={"autocommit": True}, open=False
        ) as pool:
            for tenant in (A, B):
                async with tenant_connection(pool, tenant, wait=20) as connection:
                    await connection.execute(CLIENT, (tenant, uuid.uuid4(), uuid.uuid4().hex))
            for start in range(0, len(requests), at_once):
                batch = requests[start : start + at_once]
                tasks = [asyncio.create_task(request(pool, *one, seen)) for one in batch]
                for task, (_, act) in zip(tasks, batch, strict=True):
                    if act == "cancel":
                        # At whatever it does just then: waiting for a connection, entering, or asleep.
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await clean(pool) == [(True, "")]
            await asyncio.gather(request(pool, A, "read", seen), request(pool, B, "read", seen))
        return seen

    seen = asyncio.run(run())

    assert {A, B} == {tenant for tenant, _ in seen}
    assert [pair for pair in seen if pair[0] != pair[1]] == []
