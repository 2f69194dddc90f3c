"""What left Redis is read from the archive: by new projectors, by verify, and where a fork is looked for."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import psycopg
import pytest
from backup import Backup
from log_writer import LogWriter
from projecting import BOTH, adopted, postgres_projection, project, run
from typer.testing import CliRunner

from archived_log import ArchivedLog
from triton.cli.app import app
from triton.cli.retroactive import _recorded
from triton.errors import EvidenceError, HoleError, LogForkedError
from triton.events.types import Completed
from triton.projections.engines import open_engines
from triton.projections.fork import Fork, find_fork
from triton.projections.report import render
from triton.projections.verify import verify
from triton.retroactive.choosing import Choice
from triton.settings import Settings


@pytest.fixture
def archiving(settings: Settings, tmp_path: Path) -> Settings:
    return msgspec.structs.replace(settings, archive_url=(tmp_path / "archive").as_uri())


def log_of(archiving: Settings, *, rows: bool) -> ArchivedLog:
    url = archiving.database_url if rows else ""
    return ArchivedLog.of(archiving, block_events=32, database_url=url)


@pytest.mark.parametrize("rows", [True, False], ids=["by rows", "by keys"])
def test_a_new_projector_begins_in_the_archive_and_verify_reads_it_too(
    archiving: Settings, writer: LogWriter, postgres: psycopg.Connection, rows: bool
) -> None:
    writer.history(7, 400)
    with log_of(archiving, rows=rows) as archived:
        archived.seal_all([100, 101, 350])
        archived.trim(340)
    project(archiving, *BOTH, batch=70)
    report = verify(archiving)
    assert report.ok, render(report)
    assert report.notes == []
    assert {one.position for one in report.checked} == {writer.position}
    counted = postgres.execute("SELECT count(*), max(position) FROM job_events").fetchall()
    parked = postgres.execute(
        "SELECT count(*) FROM parked_events WHERE projector = 'postgres'"
    ).fetchone()
    assert parked is not None
    assert counted == [(writer.position - parked[0], writer.position)]


def test_a_projector_that_stood_still_while_its_place_was_trimmed_goes_on(
    archiving: Settings, writer: LogWriter
) -> None:
    writer.run(4)
    project(archiving, postgres_projection)
    writer.run(40)
    with log_of(archiving, rows=True) as archived:
        archived.seal(100)
        archived.trim()
    project(archiving, *BOTH)
    assert verify(archiving).ok


def test_verify_finds_a_row_that_was_changed_where_the_log_is_archived(
    archiving: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.run(20)
    project(archiving, *BOTH)
    with log_of(archiving, rows=True) as archived:
        archived.seal(50)
        archived.trim()
    postgres.execute("UPDATE job_events SET by = 'nobody' WHERE position = 7")
    report = verify(archiving)
    assert [(one.table, one.key, one.field) for one in report.differences] == [
        ("postgres.job_events", "0:7", "by")
    ]


def test_without_the_archive_one_sentence_says_what_is_missing(
    archiving: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    writer.run(20)
    with log_of(archiving, rows=True) as archived:
        archived.seal(50)
        archived.trim()
    gone = next((tmp_path / "archive").rglob("*.zst"))
    gone.unlink()
    with pytest.raises(EvidenceError, match=r"position 1 of partition 0 is not in Redis any more"):
        project(archiving, postgres_projection)
    nowhere = msgspec.structs.replace(archiving, archive_url="")
    with pytest.raises(HoleError, match="TRITON_ARCHIVE_URL"):
        project(nowhere, postgres_projection)


def find(settings: Settings) -> Fork:
    async def look() -> Fork | None:
        async with open_engines(settings) as (log, connection, clickhouse):
            return await find_fork(log, connection, clickhouse, 0)

    found: Fork | None = run(look())
    assert found is not None
    return found


@pytest.mark.parametrize("written_again", [0, 2, 30])
def test_the_lost_positions_are_named_also_where_only_the_archive_knew_them(
    archiving: Settings, writer: LogWriter, postgres: psycopg.Connection, written_again: int
) -> None:
    """Both projectors stood still, the archiver did not; then the tail was lost."""
    writer.run(20)
    begun = writer.submit()
    project(archiving, *BOTH)
    backup = Backup(writer)
    cut = writer.position
    (claimed,) = writer.claim()
    writer.finish(claimed, Completed(result=1))
    writer.run(5)
    with log_of(archiving, rows=True) as archived:
        archived.seal_all([30, cut + 10])
        backup.come_back()
        archived.trim(30)
    if written_again:
        writer.run(written_again)
    fork = find(archiving)
    assert (fork.common, fork.projected_end, fork.lost) == (cut, cut + 10, 10)
    result = adopted(archiving)
    assert (result.common, result.lost_until) == (cut, cut + 10)
    assert begun in {job.job for job in result.jobs}
    kept = postgres.execute("SELECT position, type FROM lost_events ORDER BY 1").fetchall()
    assert [position for position, _ in kept] == list(range(cut + 1, cut + 11))
    assert kept[0] == (cut + 1, "job.started")
    project(archiving, *BOTH)
    report = verify(archiving)
    assert report.ok, render(report)
    assert report.notes == []


def test_a_fork_is_found_and_jobs_are_folded_again_below_what_was_trimmed(
    archiving: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.submit()
    writer.run(20)
    backup = Backup(writer)
    cut = writer.position
    (claimed,) = writer.claim()
    writer.finish(claimed, Completed(result=1))
    project(archiving, *BOTH)
    backup.come_back()
    with log_of(archiving, rows=True) as archived:
        archived.seal(cut)
        archived.trim(cut)
    with pytest.raises(LogForkedError):
        project(archiving, postgres_projection)
    assert find(archiving).common == cut
    result = adopted(archiving)
    assert (result.common, result.lost_until) == (cut, cut + 2)
    (lost,) = result.jobs
    assert lost.began_before
    states = postgres.execute("SELECT state FROM jobs WHERE job = %s", (lost.job,)).fetchall()
    assert states == [("pending",)]
    project(archiving, *BOTH)
    assert verify(archiving).ok


def test_the_commands_see_the_whole_log(archiving: Settings, writer: LogWriter) -> None:
    jobs = writer.run(20)
    writer.submit("waits")
    project(archiving, *BOTH)

    def told(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments), env=archiving.environment())
        return result.exit_code, result.stdout

    asked = (
        ("replay", "--json"),
        ("replay", "--to", "45", "--json"),
        ("replay", "--from", "30", "--json"),
        ("replay", "--job", jobs[3], "--json"),
        ("log", "status", "--json"),
        ("verify", "--json"),
    )
    before = [told(*arguments) for arguments in asked]
    with log_of(archiving, rows=True) as archived:
        archived.seal_all([40, 55])
        archived.trim(50)
    assert [told(*arguments) for arguments in asked] == before
    assert {status for status, _ in before} == {0}
    folded = json.loads(before[0][1])
    assert folded["states"] == {"completed": 20, "pending": 1}
    assert folded["partitions"][0]["first"] == 1


def test_the_input_of_past_jobs_is_found_after_a_trim(
    archiving: Settings, writer: LogWriter
) -> None:
    writer.run(20, result={"n": 1})

    def recorded() -> object:
        return run(_recorded(archiving, Choice(), 12))

    before = recorded()
    with log_of(archiving, rows=True) as archived:
        archived.seal_all([33, 60])
        archived.trim(50)
    assert recorded() == before
    assert len(before[0]) == 12  # type: ignore[index]
