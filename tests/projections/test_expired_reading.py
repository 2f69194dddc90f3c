"""Who reads what has expired is told so, and who begins anew begins behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from archiving import archive_once, signer_of, with_archive
from backup import Backup
from clickhouse_connect.driver.client import Client
from expiring import alone, expire, files, jobs, keep_for, later, settle, verified
from log_writer import LogWriter
from projecting import adopted, opened, project, run
from rebuilding import filled
from rebuilding import step as rebuilt

from triton.archive import open_archive
from triton.audit.cuts import cut_of
from triton.audit.differences import difference
from triton.audit.export.exporting import Export, Wanted
from triton.audit.instants import instant
from triton.audit.proving import Prover
from triton.audit.timeline import Chosen, job_at, jobs_at
from triton.audit.why import why
from triton.errors import ConflictError, ExpiredError, HoleError, NotFoundError
from triton.evidence import keyring
from triton.history import Filter, History, Past
from triton.postgres import Connection
from triton.projections.sweeping import sweep_once
from triton.projections.verify import verify
from triton.restore.running import open_restore
from triton.settings import Settings
from triton.verifier import triton_verify
from triton.verifier.triton_verify import parse_key


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    return with_archive(settings, tmp_path, seal_events=4)


@pytest.fixture
def gone(archived: Settings, writer: LogWriter, postgres: psycopg.Connection) -> list[str]:
    """A log whose first 16 positions expired, of 6 jobs with 3 events each: the last lost its first one."""
    made = jobs(writer, 6)
    settle(archived)
    keep_for(postgres, 30)
    done = expire(archived, later(writer, 40))
    assert [one.last for one in done] == [4, 8, 12, 16]
    return made


def ask(settings: Settings, question: Callable[[History, Connection], Awaitable[Any]]) -> Any:
    async def answer() -> Any:
        async with opened(settings) as (log, connection):
            assert isinstance(log, History)
            return await question(log, connection)

    return run(answer())


async def positions(history: History, first: int) -> list[int]:
    return [p async for page in history.pages(0, first) for p in page.positions]


@pytest.mark.parametrize("known", ["by PostgreSQL", "by the archive alone"])
def test_reading_what_expired_says_so_and_since_when(
    archived: Settings, writer: LogWriter, gone: list[str], known: str
) -> None:
    async def question(whole: History, _: Connection) -> None:
        history = whole
        if known == "by the archive alone":
            store = open_archive(archived.archive_url)
            history = History.over(whole, Past(lambda: store))
        assert await history.first_position(0) == 17
        assert await positions(history, 17) == list(range(17, writer.position + 1))
        for first in (1, 16):
            with pytest.raises(ExpiredError, match="all up to 16 has expired") as caught:
                await positions(history, first)
            assert caught.value.details["until"] == 16
            if known == "by PostgreSQL":
                assert f"at position {caught.value.details['event']} says" in caught.value.message
        with pytest.raises(ExpiredError):
            await history.page(0, 15)
        if known == "by PostgreSQL":  # which alone knows that the job had events
            with pytest.raises(ExpiredError):
                async for _entry in history.job_entries(gone[0]):
                    pass
        entries = [entry.position async for entry in history.job_entries(gone[5], after=16)]
        assert entries == [17, 18]

    ask(archived, question)


def test_a_kept_event_is_proved_beside_expired_ones_in_its_tile(
    archived: Settings, writer: LogWriter, gone: list[str]
) -> None:
    keys = [signer_of(archived).key]
    store = open_archive(archived.archive_url)

    async def question(history: History, _: Connection) -> None:
        prover = Prover(history, store, 0, keys, patience=0)
        for position in (17, writer.position):
            proof = await prover.prove(position)
            report = triton_verify.check_proof(bytes(proof), [parse_key(str(keys[0]))])
            assert (report.verdict, report.position) == ("whole", position)
        with pytest.raises(ExpiredError):
            await prover.prove(16)

    ask(archived, question)


def test_a_lost_postgresql_learns_of_expired_segments_from_the_archive(
    archived: Settings, writer: LogWriter, gone: list[str], postgres: psycopg.Connection
) -> None:
    """And stores that are made anew begin behind what expired, and count from there."""
    postgres.execute(
        "TRUNCATE job_events, job_states, job_submissions, checkpoints, parked_events, segments,"
        " tree_heads, expiries"
    )
    run(archive_once(archived))
    rows = postgres.execute(
        "SELECT last_position, expired_at IS NOT NULL FROM segments ORDER BY 1"
    ).fetchall()
    assert rows[:5] == [(4, True), (8, True), (12, True), (16, True), (18, False)]
    project(archived)
    jobs(writer, 2)
    run(archive_once(archived))
    project(archived)
    found = postgres.execute("SELECT min(position), max(position) FROM job_events").fetchone()
    assert found == (19, writer.position)
    aside = postgres.execute("SELECT array_agg(position ORDER BY position) FROM parked_events")
    assert aside.fetchone() == ([17, 18],), "the job that they are of began in what expired"
    report, counts = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    assert all(one.events == one.expected for one in counts)
    assert alone(archived).verdict == "whole"
    assert files(archived, writer)[1, 4] == {"json", "leaves"}


def test_an_adopted_log_takes_over_what_expired_before(
    archived: Settings, writer: LogWriter, gone: list[str]
) -> None:
    """The new life's tree is over all positions again, though nobody has the records of some."""
    jobs(writer, 2)
    settle(archived)
    backup = Backup(writer)
    jobs(writer, 2)
    settle(archived)
    backup.come_back()
    jobs(writer, 1)
    done = adopted(archived)
    for _ in range(2):
        run(archive_once(archived))
        project(archived)
    report, counts = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    found = {tree.epoch: [last for _, last, _ in tree.expired] for tree in report.trees}
    assert found == {done.previous_epoch: [4, 8, 12, 16], done.epoch: [4, 8, 12, 16]}
    assert all(one.events == one.expected for one in counts)

    async def question(history: History, _: Connection) -> None:
        assert await history.first_position(0) == 17
        assert await positions(history, 17) == list(range(17, writer.position + 1))
        with pytest.raises(ExpiredError):
            await positions(history, 1)

    ask(archived, question)
    expire(archived, later(writer, 40))
    report, _ = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    assert len(report.trees[0].expired) > 3
    assert len(report.trees[1].expired) > 3


def test_a_restore_begins_behind_what_expired(
    archived: Settings, writer: LogWriter, gone: list[str]
) -> None:
    waits = writer.submit("waits")
    settle(archived)
    for name in list(writer.client.scan_iter(writer.prefix + "*")):
        writer.client.delete(name)

    async def one() -> None:
        async with open_restore(archived) as restoring:
            (found,) = await restoring.run(by="user:tester", reason="a test", patience=20.0)
            assert found.unreadable == []

    run(one())
    assert [job.job for job in writer.claim(5)] == [waits]
    for _ in range(2):
        run(archive_once(archived))
        project(archived)
    report, _ = run(verified(archived))
    assert report.verdict == "whole", report.sentence()


@pytest.mark.parametrize("name", ["postgres", "clickhouse"])
def test_a_rebuild_begins_behind_what_expired(
    archived: Settings, writer: LogWriter, gone: list[str], name: str
) -> None:
    settle(archived)
    assert filled(archived, name).positions == {0: writer.position}
    if name == "postgres":
        with pytest.raises(ConflictError, match="put 2 events aside"):
            rebuilt(archived, lambda rebuild: rebuild.cutover(), name)
    rebuilt(archived, lambda rebuild: rebuild.cutover(accept_parked=True), name)
    rebuilt(archived, lambda rebuild: rebuild.drop(), name)
    report, counts = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    assert all(one.events == one.expected for one in counts)


def test_the_audit_says_what_it_cannot_tell_any_more(
    archived: Settings, writer: LogWriter, gone: list[str], postgres: psycopg.Connection
) -> None:
    async def question(history: History, _: Connection) -> None:
        now = await cut_of(history, instant("now", later(writer, 0)))
        assert now.expired == (16,)
        found = await jobs_at(history, now, Chosen())
        assert (found.as_of.expired, found.beheaded) == ((16,), 2)
        assert found.total == 0, "the last job's beginning is gone, and the others are"
        with pytest.raises(ExpiredError, match="begins there at 17"):
            await cut_of(history, instant("16", 0))
        early = await cut_of(history, instant("2001-01-01T00:00:00Z", 0))
        for asked in (jobs_at(history, early, Chosen()), difference(history, early, now)):
            with pytest.raises(ExpiredError, match="cannot be told"):
                await asked
        changed = await difference(history, await cut_of(history, instant("17", 0)), now)
        assert changed.after.expired == (16,)

    ask(archived, question)
    # Where PostgreSQL has no rows of it either.
    postgres.execute("DELETE FROM job_events WHERE position <= 16")

    async def without(history: History, _: Connection) -> None:
        now = await cut_of(history, instant("now", later(writer, 0)))
        with pytest.raises(ExpiredError, match="with it perhaps the job"):
            await job_at(history, gone[0], now)
        with pytest.raises(NotFoundError, match="all up to position 16 of partition 0 has expired"):
            await why(history, gone[0])

    ask(archived, without)


def test_an_export_names_what_expired(
    archived: Settings, writer: LogWriter, gone: list[str], tmp_path: Path
) -> None:
    async def question(history: History, _: Connection) -> None:
        wanted = Wanted(
            format="jsonl",
            asked={},
            after=await cut_of(history, instant("2001-01-01T00:00:00Z", 0)),
            upto=await cut_of(history, instant("now", later(writer, 0))),
            chosen=Filter(),
            proofs=True,
            by="user:ann",
            reason="case 7",
            now=0,
        )
        store = open_archive(archived.archive_url)
        made = await Export(history, tmp_path / "out", wanted, lambda: store).run()
        (part,) = made.partitions
        assert (part.first, part.last, part.expired) == (17, writer.position, 16)
        assert made.events == writer.position - 16

    keyring.settle(open_archive(archived.archive_url), archived.namespace, signer_of(archived))
    ask(archived, question)
    key = parse_key(str(signer_of(archived).key))
    report = triton_verify.check_export(triton_verify.Folder(str(tmp_path / "out")), [key])
    assert report.verdict == "whole", report.sentence()


def test_following_from_the_earliest_begins_behind_what_expired(
    archived: Settings, writer: LogWriter, gone: list[str]
) -> None:
    """And a cursor from before is told to begin again."""

    async def question(history: History, _: Connection) -> None:
        assert await history.first_position(0) == 17
        with pytest.raises(HoleError):  # what a stream answers with `triton.reset`
            await history.page(0, 3)
        assert (await history.range(0, 16))[0].position == 17

    ask(archived, question)


def test_a_reader_that_knew_a_segment_before_it_went_is_told_too(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    jobs(writer, 6)
    settle(archived)
    keep_for(postgres, 30)

    async def question(history: History, _: Connection) -> None:
        assert (await history.entries(0, 9, 9).__anext__()).position == 9
        await asyncio.to_thread(lambda: threaded(archived, writer))
        with pytest.raises(ExpiredError):
            await positions(history, 1)
        assert await history.first_position(0) == 17

    ask(archived, question)


def threaded(settings: Settings, writer: LogWriter) -> None:
    assert [one.state for one in expire(settings, later(writer, 40))] == ["expired"] * 4


def test_rows_of_what_expired_leave_both_stores(
    archived: Settings,
    writer: LogWriter,
    gone: list[str],
    postgres: psycopg.Connection,
    clickhouse: Client,
) -> None:
    """With the jobs that have no other; what is kept of a job stays, and everybody still agrees."""
    kept = writer.position - 16
    assert run(sweep_once(archived)) == {"clickhouse": 16, "postgres": 16}
    assert run(sweep_once(archived)) == {"clickhouse": 0, "postgres": 0}
    for table, key in (
        ("job_events", "position"),
        ("job_states", "job"),
        ("job_submissions", "job"),
    ):
        rows = postgres.execute(f"SELECT {key} FROM {table} ORDER BY {key}").fetchall()
        wanted = list(range(17, writer.position + 1)) if key == "position" else [gone[5]]
        assert [row[0] for row in rows] == wanted, table
    (left,) = clickhouse.query("SELECT count(), min(position) FROM job_events").result_rows
    assert left == (kept, 17)
    times = clickhouse.query("SELECT DISTINCT job FROM job_times").result_rows
    assert times == [(gone[5],)]
    report, counts = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    assert [one.events for one in counts] == [kept, kept]
    assert verify(archived).differences == []
