"""The process that projects: both stores, all partitions, engines that go away, and an end when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from log_writer import LogWriter
from projecting import await_projection, opened, project, run

from eventually import eventually
from triton import keys
from triton.errors import ConfigurationError
from triton.events.checks import read_checks
from triton.observe.signs import found, signs
from triton.projections import run_projectors
from triton.projections.lag import lag, read_lag
from triton.projections.verify import verify_async
from triton.settings import Settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_projectors(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await task


def test_both_stores_follow_the_log_and_say_so(settings: Settings, writer: LogWriter) -> None:
    async def scene() -> None:
        async with opened(settings) as (log, connection):
            before = await lag(log, connection)
            assert [(one.projector, one.position, one.behind) for one in before] == [
                ("postgres", 0, 6),
                ("clickhouse", 0, 6),
            ]
            assert all(0 <= one.seconds < 30 for one in before)
            async with running(settings):
                for name in ("postgres", "clickhouse"):
                    await await_projection(connection, name, 6)
                await asyncio.to_thread(writer.run)
                await await_projection(connection, "postgres", 9)
            after = await lag(log, connection)
            assert [(one.behind > 0) == (one.seconds > 0) for one in after] == [True, True]
            assert after[0].behind == 0
            report = await verify_async(settings)
            assert report.ok
            (noted,) = await read_checks(log.client, log.namespace)
            assert (noted.name, noted.ok) == ("verify", True)

    writer.run(2)
    run(scene())
    assert [one.projector for one in read_lag(settings)] == ["postgres", "clickhouse"]


def test_a_lag_says_that_the_log_lost_its_tail(settings: Settings, writer: LogWriter) -> None:
    writer.run(2)
    project(settings)
    assert [one.forked for one in read_lag(settings)] == ["", ""]
    writer.client.delete(*writer.client.scan_iter(f"{writer.prefix}*"))
    lost = read_lag(settings)
    assert [one.behind for one in lost] == [0, 0]
    assert all("this is another log" in one.forked for one in lost), lost


def test_a_database_that_goes_away_is_waited_for(settings: Settings, writer: LogWriter) -> None:
    async def scene() -> None:
        async with opened(settings) as (_, connection), running(settings):
            await await_projection(connection, "postgres", 3)
            for _ in range(2):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await asyncio.to_thread(writer.run)
                await await_projection(connection, "postgres", writer.position)
                await await_projection(connection, "clickhouse", writer.position)
        assert (await verify_async(settings)).ok

    writer.run()
    run(scene())


def test_who_gets_nowhere_gives_no_sign_of_it(
    settings: Settings, writer: LogWriter, tmp_path: Path
) -> None:
    """A probe must see a projector whose PostgreSQL is away, also where its process goes on."""
    away = msgspec.structs.replace(settings, database_url="postgresql://127.0.0.1:1/nowhere")

    def parts() -> set[bool]:
        signs.beat()
        (sign,) = found(str(tmp_path))
        # Others of this process, left by other tests, are not asked.
        return {sign.parts[name] is None for name in ("postgres/0", "clickhouse/0")}

    async def scene() -> None:
        async with running(away):
            await asyncio.to_thread(eventually, lambda: writer.client.hlen(keys.troubles(prefix)))
            # One tells of its trouble before the other one has found it.
            await asyncio.to_thread(eventually, lambda: parts() == {True})
        async with running(settings):
            await asyncio.to_thread(eventually, lambda: parts() == {False})

    prefix = keys.prefix(settings.namespace, 0)
    writer.run()
    signs.begin(str(tmp_path), "projector")
    try:
        run(scene())
    finally:
        signs.end()


def test_partitions_have_their_own_checkpoints(settings: Settings, redis_client: object) -> None:
    two = msgspec.structs.replace(settings, partitions=2)

    async def scene() -> None:
        async with opened(two) as (log, connection), running(two):
            for partition in range(2):
                for name in ("postgres", "clickhouse"):
                    await await_projection(
                        connection, name, await log.position(partition), partition=partition
                    )
        report = await verify_async(two)
        assert report.ok
        assert [one.rows for one in report.checked if one.table == "postgres.jobs"] == [3, 2]

    for partition, count in ((0, 3), (1, 2)):
        with LogWriter(two.redis_url, two.namespace, 2, partition) as writer:
            for _ in range(count):
                writer.submit()
    run(scene())


def test_a_missing_url_is_said_at_once(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="TRITON_CLICKHOUSE_URL is empty"):
        run(run_projectors(msgspec.structs.replace(settings, clickhouse_url=""), asyncio.Event()))
