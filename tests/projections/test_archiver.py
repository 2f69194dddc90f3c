"""The archiver seals, signs and trims: what it leaves is the log, provably, and never less."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest
from archiving import (
    archive_once,
    archiving,
    head_in,
    records_in,
    trees_in,
    with_archive,
)
from backup import Backup
from log_writer import LogWriter
from projecting import adopted, project, run

from eventually import eventually
from triton.archive import open_archive
from triton.archiving.status import read_status
from triton.errors import HoleError, LogForkedError
from triton.events.entries import dense
from triton.events.types import Completed, Error, Failed
from triton.evidence import layout, tree
from triton.evidence.layout import Tree
from triton.projections.verify import verify
from triton.settings import Settings


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    return with_archive(settings, tmp_path)


def grow(writer: LogWriter, events: int) -> None:
    """Writes events of all kinds, until there are so many."""
    writer.history(events, events)


def changed(settings: Settings, **changes: object) -> Settings:
    return msgspec.structs.replace(settings, **changes)


def records_of(writer: LogWriter, after: int = 0) -> list[bytes]:
    raw = writer.client.execute_command("XRANGE", writer.stream, f"({after}-0", "+")
    return [entry.record() for entry in dense(0, after, raw)]


def few_keys(writer: LogWriter, most: int) -> bool:
    """A head that is past its time is gone for every reader; scan may still name it."""
    names = writer.client.scan_iter(writer.prefix.replace("{", "[{]") + "*")
    return sum(int(writer.client.exists(name)) for name in list(names)) <= most


def first_in_redis(writer: LogWriter) -> int:
    raw = writer.client.execute_command("XRANGE", writer.stream, "-", "+", "COUNT", 1)
    return int(raw[0][0].split(b"-")[0]) if raw else 0


def test_what_is_archived_is_the_log_and_signed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    grow(writer, 23)
    end = writer.position
    records = records_of(writer)
    run(archive_once(archived))

    archive = open_archive(archived.archive_url)
    (of,) = trees_in(archive)
    assert records_in(archive, of) == records
    head = head_in(archive, of, archived)
    assert (head.size, head.root) == (end, tree.root_of(tree.leaf_hashes(records)))
    rows = postgres.execute(
        "SELECT first_position, last_position, state FROM segments ORDER BY 1"
    ).fetchall()
    assert rows[0] == (1, 5, "sealed")
    assert rows[-1][1:] == (end, "sealed")


def test_nothing_is_trimmed_that_a_projector_has_not_read(
    archived: Settings, writer: LogWriter
) -> None:
    both = ("postgres", "clickhouse")
    grow(writer, 20)
    run(archive_once(archived, projectors=both))
    assert first_in_redis(writer) == 1
    project(archived)
    position = writer.position
    grow(writer, position + 20)
    run(archive_once(archived, projectors=both))
    # The entry that a checkpoint stands on stays: forks are seen by it.
    assert first_in_redis(writer) == position


def test_the_newest_and_the_youngest_events_stay(
    settings: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    grow(writer, 40)
    end = writer.position
    run(archive_once(with_archive(settings, tmp_path, keep_events=12)))
    assert first_in_redis(writer) == end - 11
    run(archive_once(with_archive(settings, tmp_path, keep_ms=3_600_000)))
    assert first_in_redis(writer) == end - 11
    run(archive_once(with_archive(settings, tmp_path)))
    assert first_in_redis(writer) == end


def test_an_event_is_sealed_by_its_age_or_by_its_number(
    settings: Settings, writer: LogWriter, tmp_path: Path, postgres: psycopg.Connection
) -> None:
    writer.run(4)
    writer.submit()
    run(archive_once(with_archive(settings, tmp_path, seal_ms=3_600_000)))
    assert postgres.execute("SELECT max(last_position) FROM segments").fetchone() == (10,)
    run(archive_once(with_archive(settings, tmp_path, seal_ms=0)))
    assert postgres.execute("SELECT max(last_position) FROM segments").fetchone() == (
        writer.position,
    )


def test_a_restarted_archiver_goes_on_where_the_last_one_was(
    archived: Settings, writer: LogWriter
) -> None:
    records: list[bytes] = []
    for _ in range(4):
        grow(writer, writer.position + 9)
        records += records_of(writer, len(records))
        run(archive_once(archived))
    archive = open_archive(archived.archive_url)
    (of,) = trees_in(archive)
    assert records_in(archive, of) == records
    sizes = [layout.head_of(key) for key in archive.list(layout.heads_prefix(of))]
    assert sizes == sorted(sizes)


def test_idle_logs_are_signed_too_and_an_empty_one_first(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    async def scene() -> None:
        async with archiving(archived) as made:
            await made.turn()
            await made.turn()
            assert made.follower.signed_size == 0
            made.follower._signed_at -= 60
            await made.turn()

    run(scene())
    heads = postgres.execute("SELECT size, root FROM tree_heads").fetchall()
    assert heads == [(0, tree.EMPTY_ROOT)] * 2


def test_a_fresh_event_is_signed_soon_and_not_one_by_one(
    settings: Settings, writer: LogWriter, tmp_path: Path, postgres: psycopg.Connection
) -> None:
    async def scene() -> None:
        async with archiving(
            with_archive(settings, tmp_path, head_ms=60_000, seal_ms=3_600_000)
        ) as made:
            await made.turn()
            for _ in range(3):
                writer.submit()
                await made.turn()
            made.follower._fresh_since = time.monotonic() - 60
            await made.turn()
            assert made.follower.signed_size == 3

    run(scene())
    assert postgres.execute("SELECT count(*) FROM tree_heads WHERE size = 3").fetchone() == (1,)


def test_a_log_that_lost_its_tail_is_never_signed_nor_trimmed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    grow(writer, 12)
    backup = Backup(writer)
    grow(writer, 16)
    end = writer.position
    run(archive_once(changed(archived, seal_events=1000, seal_ms=3_600_000)))
    backup.come_back()
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    grow(writer, end + 5)
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    assert postgres.execute("SELECT count(*) FROM segments").fetchone() == (0,)
    assert first_in_redis(writer) == 1


def test_a_log_that_forks_below_what_is_sealed_is_never_trimmed(
    archived: Settings, writer: LogWriter
) -> None:
    grow(writer, 12)
    backup = Backup(writer)
    grow(writer, 20)
    run(archive_once(changed(archived, keep_events=1_000_000)))
    backup.come_back()
    grow(writer, 40)
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    assert first_in_redis(writer) == 1


def test_a_fork_while_it_runs_stops_it_before_it_trims(
    archived: Settings, writer: LogWriter
) -> None:
    async def scene() -> None:
        async with archiving(changed(archived, keep_events=1_000_000)) as made:
            grow(writer, 12)
            backup = Backup(writer)
            grow(writer, 20)
            await made.turn()
            backup.come_back()
            grow(writer, 40)
            made.bounds._keep_events = 0
            with pytest.raises(LogForkedError):
                await made.trimmer.step()
            with pytest.raises(LogForkedError):
                await made.follower.step(block_ms=0)

    run(scene())
    assert first_in_redis(writer) == 1


def test_the_server_itself_refuses_to_trim_another_epoch(
    archived: Settings, writer: LogWriter
) -> None:
    async def scene() -> None:
        async with archiving(changed(archived, keep_events=1_000_000)) as made:
            grow(writer, 20)
            await made.turn()
            writer.client.hset(f"{writer.prefix}meta", "epoch", "second")
            made.bounds._keep_events = 0
            with pytest.raises(LogForkedError):
                await made.trimmer.step()

    run(scene())
    assert first_in_redis(writer) == 1


def test_a_hole_stops_it(archived: Settings, writer: LogWriter) -> None:
    grow(writer, 12)
    writer.client.xdel(writer.stream, "7-0")
    with pytest.raises(HoleError):
        run(archive_once(archived))


def test_an_adopted_log_is_a_new_tree_over_all_its_positions(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Also over those that had left Redis before it forked: they come from the first life's segments."""
    grow(writer, 30)
    records = records_of(writer)
    run(archive_once(archived))
    end = writer.position
    assert first_in_redis(writer) > 20
    postgres.execute(
        "INSERT INTO log_epochs (partition, epoch, previous_epoch, common, lost_until, log_end, adopted_by,"
        " reason) VALUES (0, 'second', %s, %s, %s, %s, 'user:me', 'test')",
        (writer.epoch, end, end + 2, end),
    )
    with pytest.raises(LogForkedError):
        writer.client.hset(f"{writer.prefix}meta", "epoch", "second")
        run(archive_once(archived))
    postgres.execute("UPDATE checkpoints SET epoch = 'second'")
    grow(writer, end + 10)
    records += records_of(writer, end)
    run(archive_once(archived))

    archive = open_archive(archived.archive_url)
    second = Tree(archived.namespace, 0, "second")
    assert trees_in(archive) == sorted([Tree(archived.namespace, 0, writer.epoch), second])
    assert records_in(archive, second) == records
    assert head_in(archive, second, archived).size == len(records)


def test_a_fork_that_was_adopted_is_archived_from_its_begin(
    archived: Settings, writer: LogWriter
) -> None:
    archived = changed(archived, keep_events=1_000_000)
    grow(writer, 20)
    backup = Backup(writer)
    grow(writer, 30)
    project(archived)
    run(archive_once(archived))
    backup.come_back()
    grow(writer, 27)
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    done = adopted(archived)
    run(archive_once(archived))

    archive = open_archive(archived.archive_url)
    second = Tree(archived.namespace, 0, done.epoch)
    assert records_in(archive, second) == records_of(writer)
    assert head_in(archive, second, archived).size == writer.position


def test_the_status_says_what_holds_the_trim_back(archived: Settings, writer: LogWriter) -> None:
    (before,) = read_status(archived)
    assert (before.log_end, before.sealed, before.signed, before.segments) == (0, 0, -1, 0)
    grow(writer, 20)
    end = writer.position
    run(archive_once(archived))
    (found,) = read_status(archived)
    assert (found.sealed, found.signed, found.events, found.unsealed) == (end, end, end, 0)
    assert found.held_by in ("postgres", "clickhouse")
    assert not found.working
    assert found.first_in_redis == end
    project(archived)
    grow(writer, end + 7)
    assert found.declared
    kept = changed(archived, keep_events=1000, seal_ms=3_600_000, seal_events=1_000_000)
    run(archive_once(kept))
    # By whatever settings somebody asks: it is the archiver that trims.
    (found,) = read_status(archived)
    assert (found.unsealed, found.held_by) == (writer.position - end, "newest")


def hold(postgres: psycopg.Connection, name: str, scope: str, value: str) -> None:
    postgres.execute(
        "INSERT INTO holds (hold, scope, value, reason, placed_by) VALUES (%s, %s, %s, 'why', 'user:a')",
        (name, scope, value),
    )


def test_a_legal_hold_keeps_its_first_entry_and_all_behind_it(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    for number in range(12):
        writer.submit(f"job-{number}")
    hold(postgres, "case-7", "job", "job-5")
    hold(postgres, "case-8", "job", "job-9")
    hold(postgres, "elsewhere", "tenant", "nobody")
    project(archived)
    run(archive_once(archived))
    assert first_in_redis(writer) == 6
    (status,) = read_status(archived)
    assert (status.held_by, status.bounds[0].position) == ("hold case-7", 5)
    postgres.execute("UPDATE holds SET lifted_by = 'a', lifted_at = now() WHERE hold = 'case-7'")
    run(archive_once(archived))
    assert first_in_redis(writer) == 10


def test_a_hold_keeps_no_more_than_the_newest_events(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    hold(postgres, "all", "queue", "default")

    async def scene() -> None:
        async with archiving(changed(archived, hold_events=8)) as made:
            for _ in range(3):
                grow(writer, writer.position + 15)
                await made.turn()
                assert first_in_redis(writer) == writer.position - 8 + 1

    run(scene())
    run(archive_once(changed(archived, hold_events=0)))
    assert first_in_redis(writer) > writer.position - 8 + 1


def test_redis_holds_no_more_however_much_was_written(
    settings: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    """But for failed jobs, which can be requeued: of ten rounds each leaves one."""
    archived = with_archive(settings, tmp_path, keep_events=10, result_ms=0)
    sizes = []
    for round_ in range(1, 11):
        for _ in range(6):
            writer.submit()
        jobs = writer.claim(6)
        writer.finish(jobs[0], Failed(error=Error(type="ValueError")))
        for job in jobs[1:]:
            writer.finish(job, Completed(result="x" * 1000))
        run(archive_once(archived))

        eventually(partial(few_keys, writer, 12 + 2 * round_))
        sizes.append(int(writer.client.xlen(writer.stream)))
    assert set(sizes) == {10}


def test_a_tail_that_was_signed_and_lost_before_any_store_knew_it_is_a_fork_to_adopt(
    archived: Settings, writer: LogWriter
) -> None:
    archived = changed(archived, seal_ms=3_600_000, seal_events=1000)
    grow(writer, 20)
    project(archived)
    run(archive_once(archived))
    grow(writer, 25)
    run(archive_once(archived))
    backup, common = Backup(writer), writer.position
    grow(writer, 30)
    run(archive_once(archived))
    signed = writer.position
    backup.come_back()
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    done = adopted(archived)
    assert (done.common, done.lost_until) == (common, signed)
    grow(writer, 40)
    run(archive_once(archived))
    archive = open_archive(archived.archive_url)
    second = Tree(archived.namespace, 0, done.epoch)
    assert head_in(archive, second, archived).size == writer.position


def test_what_a_store_saw_after_the_last_head_that_fits_is_not_lost(
    archived: Settings, writer: LogWriter
) -> None:
    archived = changed(archived, seal_ms=3_600_000, seal_events=1000)
    grow(writer, 20)
    run(archive_once(archived))
    grow(writer, 25)
    project(archived)
    backup, common = Backup(writer), writer.position
    grow(writer, 30)
    project(archived)
    run(archive_once(archived))
    signed = writer.position
    backup.come_back()
    done = adopted(archived)
    assert (done.common, done.lost_until) == (common, signed)


def test_what_stores_read_behind_a_signed_tail_that_was_lost_hides_no_fork(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """They knew nothing of the tail, and took the positions as the log issued them again: both are equal to
    the log, and only a signed head says that something was lost."""
    archived = changed(archived, seal_ms=3_600_000, seal_events=1000)
    grow(writer, 20)
    project(archived)
    run(archive_once(archived))
    backup, common = Backup(writer), writer.position
    grow(writer, 30)
    run(archive_once(archived))
    signed = writer.position
    backup.come_back()
    grow(writer, 40)
    project(archived)
    with pytest.raises(LogForkedError):
        run(archive_once(archived))
    with pytest.raises(LogForkedError, match=f"the entry at {signed} .* lost its tail"):
        verify(archived)
    (status,) = read_status(archived)
    assert status.forked
    done = adopted(archived)
    assert (done.common, done.lost_until, done.jobs) == (common, signed, [])
    assert postgres.execute("SELECT count(*) FROM lost_events").fetchone() == (0,)
    project(archived)
    run(archive_once(archived))
    report = verify(archived)
    assert report.ok, report.differences
    (status,) = read_status(archived)
    assert not status.forked
    second = Tree(archived.namespace, 0, done.epoch)
    assert head_in(open_archive(archived.archive_url), second, archived).size == writer.position
