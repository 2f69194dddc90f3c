"""Migrations on real engines: order, drift, the lock, and up, down, up to an identical catalogue."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import clickhouse_connect
import psycopg
import pytest

from eventually import eventually
from triton import migrate, migration_targets
from triton.errors import ConfigurationError
from triton.migration_targets import LOCK, statements
from triton.stack.engines import Engines

POSTGRES_CATALOGUE = """
SELECT 'column', table_name, column_name, data_type || coalesce(collation_name, '') || is_nullable
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'view', viewname, '', definition FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT 'table', relname, relkind::text, coalesce(reloptions::text, '')
FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, '', pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'comment', objoid::regclass::text, objsubid::text, description
FROM pg_description WHERE classoid = 'pg_class'::regclass
ORDER BY 1, 2, 3, 4"""


@pytest.fixture
def clickhouse_url(engines: Engines, clickhouse_database: str) -> str:
    return f"{engines.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}"


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A schema folder of the test's own with one migration for each engine."""
    for engine in ("postgres", "clickhouse"):
        (tmp_path / engine).mkdir()
    write(tmp_path, "postgres/0001_one", "CREATE TABLE one (n int);", "DROP TABLE one;")
    monkeypatch.setattr(migrate, "schema_folder", lambda: tmp_path)
    return tmp_path


def write(folder: Path, stem: str, up: str, down: str = "SELECT 1;") -> None:
    (folder / f"{stem}.up.sql").write_text(up)
    (folder / f"{stem}.down.sql").write_text(down)


def catalogue(database_url: str, clickhouse_url: str) -> list[object]:
    with psycopg.connect(database_url) as connection:
        found: list[object] = list(connection.execute(POSTGRES_CATALOGUE).fetchall())
    with clickhouse_connect.get_client(dsn=clickhouse_url) as client:
        rows = client.query(
            "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
            " AND name NOT LIKE '.%' ORDER BY name"
        ).result_rows
    return found + list(rows)


def test_up_down_up_gives_the_same_catalogue(database_url: str, clickhouse_url: str) -> None:
    applied = migrate.up(database_url, clickhouse_url)
    assert [step.engine for step in applied if step.number == 1] == ["postgres", "clickhouse"]
    first = catalogue(database_url, clickhouse_url)
    assert migrate.up(database_url, clickhouse_url) == []

    undone = migrate.down(database_url, clickhouse_url, to=8, clickhouse_to=1)
    ends = {step.engine: step.number for step in undone}
    assert ends == {"clickhouse": 2, "postgres": 9}, "each engine has numbers of its own"
    undone = migrate.down(database_url, clickhouse_url, to=0)
    assert [step.engine for step in undone if step.number == 1] == ["clickhouse", "postgres"]
    assert {step.state for step in migrate.status(database_url, clickhouse_url)} == {"pending"}
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert tables == [("schema_migrations",)]

    migrate.up(database_url, clickhouse_url)
    assert catalogue(database_url, clickhouse_url) == first
    assert {step.state for step in migrate.status(database_url, clickhouse_url)} == {"applied"}


def test_a_changed_applied_file_is_refused(schema: Path, database_url: str) -> None:
    migrate.up(database_url)
    write(schema, "postgres/0001_one", "CREATE TABLE one (n bigint);")
    assert [step.state for step in migrate.status(database_url)] == ["changed"]
    for attempt in (migrate.up, lambda url: migrate.down(url, to=0)):
        with pytest.raises(ConfigurationError, match=r"0001_one\.up\.sql was changed after"):
            attempt(database_url)


def test_a_database_of_a_newer_triton_is_refused(schema: Path, database_url: str) -> None:
    write(schema, "postgres/0002_two", "CREATE TABLE two (n int);")
    migrate.up(database_url)
    (schema / "postgres/0002_two.up.sql").unlink()
    (schema / "postgres/0002_two.down.sql").unlink()
    assert [step.state for step in migrate.status(database_url)] == ["applied", "unknown"]
    with pytest.raises(ConfigurationError, match="0002 two is applied to postgres"):
        migrate.up(database_url)


def test_a_database_without_an_encoding_is_refused(schema: Path, database_url: str) -> None:
    """PostgreSQL answers texts of such a one as bytes: every checkpoint would look like another log's."""
    assert schema
    url = urlsplit(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'"
        )
        try:
            with pytest.raises(ConfigurationError, match="encoding SQL_ASCII"):
                migrate.up(urlunsplit(url._replace(path="/ascii")))
        finally:
            connection.execute("DROP DATABASE ascii")


def test_a_database_that_does_not_hold_every_text_is_refused(
    schema: Path, database_url: str
) -> None:
    """The first event with another text would stop the projector for ever."""
    assert schema
    url = urlsplit(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
        try:
            with pytest.raises(ConfigurationError, match=r"encoding LATIN1, .* ENCODING 'UTF8'"):
                migrate.up(urlunsplit(url._replace(path="/latin")))
        finally:
            connection.execute("DROP DATABASE latin")


def test_a_server_that_is_too_old_is_refused_before_the_first_table(
    schema: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert schema
    monkeypatch.setattr(migration_targets, "OLDEST_POSTGRES", 990000)
    with pytest.raises(
        ConfigurationError, match=r"is too old: Triton needs PostgreSQL 99 or newer"
    ):
        migrate.up(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,)


def test_a_user_who_may_make_no_tables_is_told_what_it_takes(
    schema: Path, database_url: str
) -> None:
    assert schema
    name = "t" + secrets.token_hex(4)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
        try:
            with pytest.raises(ConfigurationError, match=rf"OWNER TO {name}`") as refused:
                migrate.up(database_url.replace("triton@", f"{name}@"))
            assert "\n" not in refused.value.message
        finally:
            connection.execute(f"DROP ROLE {name}")


def test_a_file_that_fails_leaves_nothing_of_it(schema: Path, database_url: str) -> None:
    write(schema, "postgres/0002_two", "CREATE TABLE two (n int);\nSELECT * FROM nowhere;")
    with pytest.raises(ConfigurationError, match=r"0002_two\.up\.sql failed: .*nowhere"):
        migrate.up(database_url)
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('one'), to_regclass('two')").fetchone() == (
            "one",
            None,
        )
    assert [step.state for step in migrate.status(database_url)] == ["applied", "pending"]


def test_a_file_without_transaction_may_build_an_index_concurrently(
    schema: Path, database_url: str
) -> None:
    write(
        schema,
        "postgres/0002_index",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY one_n ON one (n);\nANALYZE one;\n",
        "DROP INDEX one_n;",
    )
    assert [step.number for step in migrate.up(database_url)] == [1, 2]
    assert [step.number for step in migrate.down(database_url, to=1)] == [2]


def test_two_migrations_at_once_apply_each_file_once(schema: Path, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        taken: list[list[migrate.Step]] = []
        threads = [
            threading.Thread(target=lambda: taken.append(migrate.up(database_url)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        eventually(lambda: (holder.execute(waiting).fetchone() or (0,))[0] == 2)
        assert taken == []
        holder.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
        for thread in threads:
            thread.join(60)
    assert sorted(len(steps) for steps in taken) == [0, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0002_b.up.sql", "0002_b.down.sql"], "expected 0001_"),
        (["0001_a.up.sql"], "expected 0001_"),
        (["0001_a.up.sql", "0001_b.down.sql"], "taken by another"),
        (["1_a.up.sql"], "expected a name like"),
    ],
)
def test_badly_named_files_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "postgres").mkdir()
    for name in names:
        (tmp_path / "postgres" / name).write_text("SELECT 1;")
    with pytest.raises(ConfigurationError, match=message):
        migrate.discover("postgres", tmp_path)


def test_statements_end_at_a_semicolon_that_ends_a_line() -> None:
    text = "SELECT ';' AS a,\n  1;  \n\nSELECT 2; -- not here\nSELECT 3;\n"
    assert statements(text) == ["SELECT ';' AS a,\n  1", "SELECT 2; -- not here\nSELECT 3"]
