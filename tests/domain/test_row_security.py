"""Row-level security: which tables it is on, that it fails closed, and two tenants over one small pool."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

import triton
from triton.api import whose
from triton.api.job_reader import JobReader
from triton.api.services import index_over
from triton.api.statements import sql
from triton.domain.connection import (
    ROLE,
    enter,
    reading_connection,
    step_down,
    tenant_connection,
)
from triton.errors import ValidationError

OPEN: Final = """
SELECT c.table_schema || '.' || c.table_name
FROM information_schema.columns c JOIN pg_class r ON r.relname = c.table_name AND r.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = r.relnamespace AND n.nspname = c.table_schema
WHERE c.column_name = 'tenant' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)"""
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


def test_every_table_of_tenants_is_forced(connection: psycopg.Connection) -> None:
    assert connection.execute(OPEN).fetchall() == []
    forced = {name for (name,) in connection.execute(FORCED)}

    assert forced >= {
        *("tenant_configs", "clients", "value_propositions", "dashboard_templates", "prospects"),
        *("prospect_dashboard_data", "roi_models", "prompts", "prompt_versions", "models"),
        *("executions", "evaluations", "enhancement_history", "documents", "extraction_lineage"),
        *("job_submissions", "job_events", "failed_jobs", "lost_events", "users", "api_keys"),
    }
    for table in ("job_states", "organizations"):
        held = (
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass"
        )
        assert connection.execute(held, (table,)).fetchone() == (True,)
    unpoliced = connection.execute(
        "SELECT relname FROM pg_class c WHERE relrowsecurity AND NOT EXISTS"
        " (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)"
    )
    assert unpoliced.fetchall() == []


#: Tables of the log have the tenants that the log has.
UNBOUND: Final = """
SELECT c.relname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT EXISTS
    (SELECT FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f' AND a.attnum = ANY(f.conkey))"""
OF_THE_LOG: Final = {
    *("job_submissions", "job_events", "failed_jobs", "lost_events", "retention"),
    *("webhook_tenants", "secret_tenants"),
}


def test_what_a_tenant_has_belongs_to_an_organization(connection: psycopg.Connection) -> None:
    assert {name for (name,) in connection.execute(UNBOUND)} == OF_THE_LOG
    add_client(connection, "gamma")
    add_client(connection, "gamma", "Two")

    found = connection.execute("SELECT name, created_by FROM organizations WHERE id = 'gamma'")
    assert found.fetchall() == [("gamma", "system:first-record")]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute("DELETE FROM organizations WHERE id = 'gamma'")


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
        "retention",
        "users",
        "api_keys",
        "organizations",
        "lost_events",
        "webhook_tenants",
    ):
        refused(psycopg.errors.InsufficientPrivilege, f"SELECT * FROM {table}", ())
    for table in ("job_submissions", "job_states", "job_events", "failed_jobs", "checkpoints"):
        refused(psycopg.errors.InsufficientPrivilege, f"DELETE FROM {table}", ())
    with connection.transaction():
        enter(connection, A)
        changed = connection.execute("UPDATE clients SET name = 'Mine'").rowcount
        gone = connection.execute("DELETE FROM clients").rowcount
    assert (changed, gone) == (0, 0)
    # A tenant may have a row with the id of another's: neither learns of it.
    with connection.transaction():
        enter(connection, A)
        connection.execute(CLIENT, (A, theirs, "One"))


def add_job(connection: psycopg.Connection, tenant: str, job: str) -> None:
    """As a projector would: a failed job, one event of it, and an administrative event of nobody."""
    connection.execute(
        "INSERT INTO job_submissions"
        " VALUES (%s, %s, 'q', 'a', 0, now(), 'user:x', '', '', '', NULL, NULL, 0)",
        (job, tenant),
    )
    connection.execute(
        "INSERT INTO job_states VALUES"
        " (%s, 'failed', 0, 1, 1, 0, '', '', 0, false, '', NULL, NULL, NULL, now(), NULL, NULL)",
        (job,),
    )
    connection.execute(
        "INSERT INTO job_events SELECT 0, coalesce(max(position), 0) + 1, %s, 1, 'job.submitted', 0, now(),"
        " 'user:x', %s, 'q', '', '', '', 1, '{}' FROM job_events",
        (job, tenant),
    )
    connection.execute(
        "INSERT INTO documents VALUES (%s, %s, 'f', '', repeat('0', 64), 1, 'k', now(), 'user:x')"
        " ON CONFLICT DO NOTHING",
        (job, tenant),
    )


#: Where the tenant's jobs and documents are read.
READS: Final = (
    "SELECT tenant FROM jobs",
    "SELECT tenant FROM generation_jobs",
    "SELECT tenant FROM dead_letters",
    "SELECT tenant FROM job_submissions",
    "SELECT tenant FROM job_events",
    "SELECT tenant FROM failed_jobs",
    "SELECT substr(job, 5) FROM job_states",
    "SELECT tenant FROM documents",
)


def test_jobs_are_seen_by_their_tenant_and_by_the_platform(connection: psycopg.Connection) -> None:
    for tenant in (A, B):
        add_job(connection, tenant, f"job-{tenant}")
    # An administrative event has no tenant; who has none is not to see it for that.
    connection.execute("UPDATE job_events SET tenant = '' WHERE tenant = 'alpha'")

    for read in READS:
        seen = {tenant for (tenant,) in connection.execute(read.encode())}
        assert seen == ({"", B} if "job_events" in read else {A, B}), read
    for read in READS:
        with connection.transaction():
            enter(connection, B)
            assert connection.execute(read.encode()).fetchall() == [(B,)], read
        with connection.transaction():
            connection.execute(f"SET LOCAL ROLE {ROLE}")
            assert connection.execute(read.encode()).fetchall() == [], read


def test_a_reader_of_jobs_asks_in_the_tenant_s_name(
    connection: psycopg.Connection, database_url: str
) -> None:
    """Not by its filters alone: these statements have none, or one that is not used."""
    for tenant in (A, B):
        add_job(connection, tenant, f"job-{tenant}")

    async def run() -> list[list[str]]:
        async with api_pool(database_url) as pool:
            reader = JobReader(Any, "", 1, pool, Any)  # type: ignore[arg-type]
            found = []
            for tenant in (A, B, None):
                values = {"jobs": ["job-alpha", "job-beta"]}
                rows = await reader.rows("known", values, tenant)
                (again,) = await reader.at_once([(sql("known"), values)], tenant)
                assert rows == again
                # However deep it is asked, and without a word of whom: it is this tenant's request.
                whose.answer_as(tenant)
                assert await reader.rows("known", values, None) == rows
                actors = await index_over(pool).rows("actors", values)
                whose.answer_as(None)
                found.append(sorted(row["job"] for row in rows))
                assert sorted(row["job"] for row in actors) == found[-1]
            return found

    assert asyncio.run(run()) == [["job-alpha"], ["job-beta"], ["job-alpha", "job-beta"]]


def test_a_request_that_forgets_its_tenant_gets_nothing(
    connection: psycopg.Connection, database_url: str
) -> None:
    add_job(connection, A, "job-alpha")

    async def run() -> None:
        async with api_pool(database_url) as pool, pool.connection() as forgetful:
            for read in READS:
                assert await (await forgetful.execute(read.encode())).fetchall() == [], read
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await forgetful.execute("SELECT password_hash FROM users")

    asyncio.run(run())


def test_nothing_takes_a_connection_past_the_one_way_in() -> None:
    source = Path(triton.__file__).parent
    taken = [
        str(path.relative_to(source))
        for folder in ("api", "identity", "quotas", "domain")
        for path in (source / folder).rglob("*.py")
        if re.search(r"pool\.(connection|getconn)\(", path.read_text())
    ]
    assert taken == ["domain/connection.py"]
    opened = [
        path.name
        for path in (source / "api").rglob("*.py")
        if re.search(r"psycopg\.(AsyncConnection\.)?connect\(", path.read_text())
    ]
    assert opened == []


class BrokenError(Exception):
    pass


#: One question over all kinds of tables.
LOOK: Final = " UNION ALL ".join(
    ["SELECT tenant FROM clients", *(read for read in READS if "substr" not in read)]
).encode()


#: What a request does after it entered, and how it ends.
ACTS = st.sampled_from(
    ["read", "write", "steal", "sql error", "raise", "cancel", "kill", "savepoint"]
)
#: Who is of no tenant, and sees all.
PLATFORM: Final = "platform"
REQUESTS = st.lists(st.tuples(st.sampled_from([A, B, PLATFORM]), ACTS), min_size=1, max_size=24)


def api_pool(database_url: str) -> AsyncConnectionPool[Any]:
    """As the API opens it, and smaller."""
    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=2,
        kwargs={"row_factory": dict_row, "autocommit": True},
        configure=step_down,
        open=False,
    )


async def request(
    pool: AsyncConnectionPool[Any], tenant: str, act: str, seen: list[tuple[str, str]]
) -> None:
    whose = None if tenant == PLATFORM else tenant
    async with reading_connection(pool, whose, wait=20) as connection:

        async def look() -> None:
            cursor = await connection.execute(LOOK)
            seen.extend((tenant, row["tenant"]) for row in await cursor.fetchall())

        await look()
        if act == "write" and whose:
            await connection.execute(CLIENT, (tenant, uuid.uuid4(), uuid.uuid4().hex))
        elif act == "steal" and whose:
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
            "SELECT current_user, coalesce(current_setting('triton.tenant', true), '') AS tenant"
        )
        return [tuple(row.values()) for row in await cursor.fetchall()]


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
        async with api_pool(database_url) as pool:
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
            assert await clean(pool) == [(ROLE, "")]
            await asyncio.gather(*(request(pool, who, "read", seen) for who in (A, B, PLATFORM)))
        return seen

    with psycopg.connect(database_url) as connection:
        for tenant in (A, B):
            add_job(connection, tenant, f"job-{uuid.uuid4().hex}")
    seen = asyncio.run(run())

    assert {A, B, PLATFORM} == {tenant for tenant, _ in seen}
    assert {found for who, found in seen if who == PLATFORM} == {A, B}
    assert [pair for pair in seen if pair[0] not in (pair[1], PLATFORM)] == []
