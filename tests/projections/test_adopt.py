"""A log that lost its tail is adopted: exactly what is lost is named and kept, and all else goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from backup import Backup
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import (
    BOTH,
    adopted,
    await_projection,
    clickhouse_projection,
    opened,
    postgres_projection,
    project,
    run,
)

from eventually import eventually
from triton import keys
from triton.checkpoints.keeping import Patience
from triton.checkpoints.lease import Lease
from triton.errors import FencedError, LogForkedError
from triton.events.types import Completed
from triton.projections.adopt import adopt
from triton.projections.engines import open_engines
from triton.projections.fork import Fork, find_fork
from triton.projections.running import Keeper
from triton.projections.verify import verify
from triton.settings import Settings


def find(settings: Settings) -> Fork | None:
    async def look() -> Fork | None:
        async with open_engines(settings) as (log, connection, clickhouse):
            return await find_fork(log, connection, clickhouse, 0)

    found: Fork | None = run(look())
    return found


def rows(postgres: psycopg.Connection, query: str) -> list[Any]:
    return postgres.execute(query.encode()).fetchall()


def test_nothing_is_forked_where_nothing_is_lost(settings: Settings, writer: LogWriter) -> None:
    assert find(settings) is None
    writer.run(2)
    project(settings, postgres_projection)
    writer.run()
    fork = find(settings)
    assert fork is not None
    assert (fork.forked, fork.lost, fork.common, fork.log_end) == (False, 0, 6, 9)


def test_a_lost_administrative_event_is_kept_and_is_no_job(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.run()
    backup = Backup(writer)
    writer.send(writer.scripts.hold(writer.prefix, "default", "paused", by="user:ann"))
    project(settings, *BOTH)
    backup.come_back()
    result = adopted(settings)
    assert (result.common, result.lost_until, result.jobs) == (3, 4, [])
    assert rows(postgres, "SELECT position, type FROM lost_events") == [(4, "queue.paused")]
    project(settings, *BOTH)
    assert verify(settings).ok


def test_the_lost_positions_are_named_and_kept_and_all_else_goes_on(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, clickhouse: Client
) -> None:
    done = writer.run(2)
    begun = writer.submit()
    backup = Backup(writer)
    (claimed,) = writer.claim()
    writer.finish(claimed, Completed(result=1))
    gone = writer.submit()
    project(settings, *BOTH)
    backup.come_back()
    with pytest.raises(LogForkedError):
        project(settings, postgres_projection)
    other = writer.run()  # claims `begun` too: positions 8 to 10 get other content
    result = adopted(settings)
    assert (result.common, result.lost_until, result.log_end) == (7, 10, 10)
    assert [(job.job, job.last, job.began_before) for job in result.jobs] == [
        (begun, "job.completed", True),
        (gone, "job.submitted", False),
    ]
    assert rows(postgres, "SELECT position, job, type FROM lost_events ORDER BY position") == [
        (8, begun, "job.started"),
        (9, begun, "job.completed"),
        (10, gone, "job.submitted"),
    ]
    assert rows(postgres, f"SELECT state FROM jobs WHERE job = '{begun}'") == [("pending",)]
    project(settings, *BOTH)
    report = verify(settings)
    assert report.ok, report.differences
    assert {job for (job,) in rows(postgres, "SELECT job FROM jobs")} >= {*done, *other, begun}
    ended = "SELECT uniqExact(job) FROM job_times WHERE finished_at IS NOT NULL"
    assert clickhouse.query(ended).result_rows == [(3,)]
    declared = "SELECT common, lost_until, adopted_by, reason FROM log_epochs"
    assert rows(postgres, declared) == [(7, 10, "user:op", "disk died")]
    assert find(settings).forked is False  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(6))
def test_any_cut_of_any_history_is_found_and_repaired(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, seed: int
) -> None:
    """Cut anywhere, one store behind the other, with or without other events after the cut."""
    writer.history(seed, 150)
    backup = Backup(writer)
    cut = writer.position
    writer.history(seed + 100, cut + 40)
    project(settings, *(BOTH if seed % 2 else (clickhouse_projection,)))
    end = writer.position
    if seed % 2 == 0:
        # PostgreSQL stood still before the cut.
        backup_of_all = Backup(writer)
        backup.come_back()
        project(settings, postgres_projection)
        backup_of_all.come_back()
    backup.come_back()
    if seed % 3:
        writer.history(seed + 200, cut + 5 * seed)
    result = adopted(settings)
    assert (result.common, result.lost_until) == (cut, end)
    kept = rows(postgres, "SELECT position FROM lost_events ORDER BY 1")
    parked = rows(postgres, "SELECT count(*) FROM parked_events")
    assert [position for (position,) in kept] == list(range(cut + 1, end + 1)) or parked != [(0,)]
    project(settings, *BOTH)
    report = verify(settings)
    assert report.ok, report.differences


def test_an_adoption_that_died_half_way_is_done_again(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Dead between PostgreSQL's commit and Redis: no reader goes on, and the second try loses nothing."""
    writer.run(2)
    backup = Backup(writer)
    writer.run()
    project(settings, *BOTH)
    backup.come_back()
    before = writer.client.hget(writer.prefix + "meta", "epoch")
    adopted(settings)
    writer.client.hset(writer.prefix + "meta", "epoch", before or b"")
    with pytest.raises(LogForkedError):
        project(settings, postgres_projection)
    again = adopted(settings)
    assert (again.common, again.lost_until, again.jobs) == (6, 6, [])
    assert len(rows(postgres, "SELECT FROM lost_events")) == 3
    project(settings, *BOTH)
    assert verify(settings).ok


def test_another_log_shares_nothing(settings: Settings, writer: LogWriter) -> None:
    writer.run(2)
    project(settings, *BOTH)
    writer.client.delete(writer.stream, writer.prefix + "meta")
    with LogWriter(settings.redis_url, settings.namespace) as another:
        another.run()
        fork = find(settings)
        assert fork is not None and (fork.common, fork.lost) == (0, 6)
        adopted(settings)
        project(settings, *BOTH)
        assert verify(settings).ok


def test_a_trimmed_log_cannot_tell(settings: Settings, writer: LogWriter) -> None:
    writer.run(2)
    backup = Backup(writer)
    writer.run()
    project(settings, *BOTH)
    backup.come_back()
    writer.run(2)
    writer.client.xtrim(writer.stream, minid="10-0", approximate=False)
    with pytest.raises(LogForkedError, match="cannot be told"):
        find(settings)


def test_a_projector_that_works_is_not_pushed_aside(settings: Settings, writer: LogWriter) -> None:
    writer.run(2)
    backup = Backup(writer)
    writer.run()
    project(settings, *BOTH)
    backup.come_back()

    async def scene() -> None:
        async with opened(settings) as (log, connection):
            held = await Lease.acquire(
                connection, "postgres", 0, epoch=log.epochs[0], owner="busy", seconds=60
            )
            assert held is not None
            async with open_engines(settings) as engines:
                fork = await find_fork(*engines, 0)
                assert fork is not None
                with pytest.raises(FencedError, match="still works on partition 0"):
                    await adopt(*engines, fork, by="user:op", reason="r", patience=0.5)

    run(scene())


def test_a_projector_that_cannot_notice_is_pushed_aside_and_goes_on(
    settings: Settings, writer: LogWriter, clickhouse: Client
) -> None:
    """It was behind when the tail was lost, and reads what the log issued in its place: nothing tells it."""
    writer.run(2)
    backup = Backup(writer)
    writer.run()
    project(settings, postgres_projection)
    backup.come_back()
    writer.run()

    async def scene() -> None:
        async with opened(settings) as (log, connection):
            keeper = Keeper(
                log,
                settings.database_url,
                lambda: clickhouse_projection(settings),
                0,
                patience=Patience(halted=0.1),
            )
            stop = asyncio.Event()
            task = asyncio.create_task(keeper.run(stop))
            await await_projection(connection, "clickhouse", 9)
            async with open_engines(settings) as engines:
                fork = await find_fork(*engines, 0)
                assert fork is not None
                await adopt(*engines, fork, by="user:op", reason="r", patience=5)
            await asyncio.to_thread(writer.run)
            await await_projection(connection, "clickhouse", 12)
            stop.set()
            await task

    run(scene())
    project(settings, postgres_projection)
    assert verify(settings).ok


def test_a_halted_projector_goes_on_by_itself(settings: Settings, writer: LogWriter) -> None:
    """It was opened on the old epoch: it has to read the new one, or it halts for ever."""
    writer.run(2)
    backup = Backup(writer)
    writer.run()
    project(settings, *BOTH)
    backup.come_back()

    async def scene() -> None:
        async with opened(settings) as (log, connection):
            keeper = Keeper(
                log,
                settings.database_url,
                lambda: postgres_projection(settings),
                0,
                patience=Patience(halted=0.1),
            )
            stop = asyncio.Event()
            task = asyncio.create_task(keeper.run(stop))
            await asyncio.to_thread(eventually, _halted)
            await asyncio.to_thread(_adopt_and_write)
            await await_projection(connection, "postgres", 9)
            stop.set()
            await task

    def _halted() -> bool:
        """As `/metrics` tells it."""
        found = writer.client.hgetall(keys.troubles(writer.prefix))
        return int(found.get(b"projector:halted", 0)) >= 1

    def _adopt_and_write() -> None:
        adopted(settings)
        writer.run()

    run(scene())
