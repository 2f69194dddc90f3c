"""PostgreSQL and ClickHouse are lost, really: dropped, made again empty, and filled from archive and log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clickhouse_connect
import psycopg
import pytest
from archiving import archive_once, with_archive
from log_writer import LogWriter
from projecting import opened, project, run
from rebuilding import filled, step

from triton import migrate
from triton.errors import EvidenceError
from triton.history import History
from triton.projections.rebuild.running import Rebuild
from triton.projections.report import render
from triton.projections.verify import verify
from triton.restore.running import open_restore
from triton.settings import Settings

BOTH = ("postgres", "clickhouse")


@pytest.fixture
def own(own_stores: Settings, tmp_path: Path) -> Settings:
    """Stores of this test alone, and an archive."""
    return with_archive(own_stores, tmp_path)


def lose(settings: Settings) -> None:
    """Drop both databases, and make them again."""
    name = psycopg.conninfo.conninfo_to_dict(settings.database_url)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(settings.database_url, dbname="triton")
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
    base, _, database = settings.clickhouse_url.rpartition("/")
    with clickhouse_connect.get_client(dsn=f"{base}/triton") as client:
        client.command(f"DROP DATABASE {database} SYNC")
        client.command(f"CREATE DATABASE {database}")
    migrate.up(settings.database_url, settings.clickhouse_url)


def empty(writer: LogWriter) -> None:
    """Redis holds nothing of the log."""
    for name in list(writer.client.scan_iter(writer.prefix + "*")):
        writer.client.delete(name)


def ledger(settings: Settings) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(
            "SELECT partition, epoch, first_position, last_position, events, state, key, sha256, size,"
            " manifest_sha256, first_at, last_at, root FROM segments ORDER BY 1, 2, 3"
        ).fetchall()


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of both stores."""
    with psycopg.connect(settings.database_url) as connection:
        found = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2".encode()).fetchall()
            for table in ("job_events", "job_states", "job_submissions", "failed_jobs")
        }
    with clickhouse_connect.get_client(dsn=settings.clickhouse_url) as client:
        events = "SELECT * FROM job_events FINAL ORDER BY position"
        return {**found, "clickhouse": list(client.query(events).result_rows)}


def newest_head(settings: Settings) -> tuple[Any, ...] | None:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(
            "SELECT partition, epoch, size, root, note FROM tree_heads"
            " ORDER BY size DESC, signed_at DESC LIMIT 1"
        ).fetchone()


def test_all_that_was_lost_is_made_again(own: Settings, writer: LogWriter) -> None:
    writer.history(seed=1, events=90)
    project(own)
    run(archive_once(own, projectors=BOTH))
    known, head, rows = ledger(own), newest_head(own), contents(own)
    assert len(known) > 10
    assert writer.client.xlen(writer.stream) < 10, "nothing was trimmed: a test of the log alone"

    lose(own)
    assert ledger(own) == []
    for name in BOTH:
        filled(own, name)
        step(own, Rebuild.cutover, name)
        step(own, Rebuild.drop, name)
    report = verify(own)
    assert report.ok, render(report)
    assert contents(own) == rows
    # What is archived next follows what was there.
    writer.run(5)
    project(own)
    run(archive_once(own, projectors=BOTH))
    assert ledger(own)[: len(known)] == known
    assert ledger(own)[-1][3] == writer.position
    assert head is not None
    with psycopg.connect(own.database_url) as connection:
        notes = connection.execute("SELECT note FROM tree_heads").fetchall()
    assert (head[-1],) in notes


def test_a_copy_of_postgresql_learns_what_the_archive_has_more(
    own: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    writer.history(seed=1, events=60)
    project(own)
    run(archive_once(own, projectors=BOTH))
    known = ledger(own)
    with psycopg.connect(own.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM segments WHERE first_position > 20")
        connection.execute(
            "UPDATE segments SET state = 'stored', sealed_at = NULL WHERE first_position = 16"
        )
        connection.execute("UPDATE checkpoints SET position = 15 WHERE projector = 'archiver'")
    run(archive_once(own, projectors=BOTH))
    assert ledger(own) == known

    with psycopg.connect(own.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM segments")
    (gone,) = tmp_path.glob("archive/**/*21-*25.json")
    gone.unlink()
    with pytest.raises(EvidenceError, match="missing"):
        run(archive_once(own, projectors=BOTH))


def test_all_but_the_archive_is_lost(own: Settings, writer: LogWriter) -> None:
    writer.history(seed=1, events=90)
    project(own)
    run(archive_once(own, projectors=BOTH))
    rows, end = contents(own), writer.position
    empty(writer)
    lose(own)

    async def restored() -> Any:
        async with open_restore(own) as opened:
            return await opened.run(by="user:tester", reason="a test", patience=20.0)

    (found,) = run(restored())
    assert (found.plan.archived, found.plan.end, found.unreadable) == (end, end, [])
    for name in BOTH:
        filled(own, name)
        step(own, Rebuild.cutover, name)
    assert contents(own) == rows
    writer.run(3)
    project(own)
    run(archive_once(own, projectors=BOTH))
    assert max(row[3] for row in ledger(own) if row[1] == found.epoch) == writer.position

    # Once more, when the archive has two lives; and everything was started before anybody noticed.
    end = writer.position
    empty(writer)
    lose(own)
    writer.send(writer.scripts.open(writer.prefix, "begun-too-early", 1))
    project(own)
    run(archive_once(own, projectors=BOTH))
    (again,) = run(restored())
    assert (again.plan.epoch, again.plan.end) == (found.epoch, end)
    project(own)
    run(archive_once(own, projectors=BOTH))
    report = verify(own)
    assert report.ok, render(report)
    with psycopg.connect(own.database_url) as connection:
        known = "SELECT epoch, previous_epoch FROM log_epochs ORDER BY adopted_at"
        lives = connection.execute(known).fetchall()
    assert lives == [(found.epoch, found.plan.epoch), (again.epoch, found.epoch)]


def test_segments_that_postgresql_forgot_are_read_and_known_again(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    """Single rows are gone: the first one, and one between; also of a life that was restored from."""
    archived = with_archive(settings, tmp_path)
    writer.history(seed=1, events=60)
    project(archived)
    run(archive_once(archived, projectors=BOTH))
    known, end = ledger(archived), writer.position

    def forget(*first: int) -> None:
        gone = "DELETE FROM segments WHERE first_position = ANY(%s) RETURNING 1"
        assert len(postgres.execute(gone, [list(first)]).fetchall()) == len(first)

    async def read() -> list[int]:
        async with opened(archived) as (log, _):
            assert isinstance(log, History)
            assert await log.first_position(0) == 1
            return [p async for page in log.pages(0) for p in page.positions]

    forget(1, 16)
    assert run(read()) == list(range(1, end + 1))
    empty(writer)

    async def restored() -> Any:
        async with open_restore(archived) as restore:
            return await restore.run(by="user:tester", reason="a test", patience=20.0)

    (found,) = run(restored())
    assert (found.plan.archived, found.plan.end) == (end, end)
    assert ledger(archived) == known
    forget(6, 26)
    assert run(read()) == list(range(1, end + 1))
    project(archived)
    run(archive_once(archived, projectors=BOTH))
    assert [row for row in ledger(archived) if row[1] != found.epoch] == known
    assert max(row[3] for row in ledger(archived) if row[1] == found.epoch) == end
    assert run(read()) == list(range(1, end + 1))
