"""The same rebuild in ClickHouse, which has no transactions: two exchanges, and a crash between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from interruption import Killed
from log_writer import LogWriter
from projecting import clickhouse_projection, opened, postgres_projection, project, run
from rebuilding import filled, killed, rebuilding, step

from triton.errors import ConflictError
from triton.events.types import Completed
from triton.postgres import Connection
from triton.projections.rebuild.clickhouse_tables import ClickHouseTables
from triton.projections.rebuild.running import Rebuild
from triton.projections.rebuild.shadow import Shadow
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings

NAME = "clickhouse"
#: What job_times must hold, from the history itself.
TIMES = (
    "SELECT tenant, queue, job, max(e.actor), min(if(type = 'job.submitted', at, NULL)),"
    " min(if(type = 'job.started', at, NULL)), max(if(type = 'job.started', at, NULL)),"
    " max(if(type IN ('job.completed', 'job.failed', 'job.cancelled'), at, NULL))"
    " FROM job_events e FINAL GROUP BY 1, 2, 3 ORDER BY job"
)
FOUND = (
    "SELECT tenant, queue, job, max(actor), min(submitted_at), min(started_at), max(restarted_at),"
    " max(finished_at) FROM job_times GROUP BY 1, 2, 3 ORDER BY job"
)


@pytest.fixture(autouse=True)
def no_shadow(settings: Settings, clickhouse: Client) -> None:
    for table in ("job_times_fill_shadow", "job_times_shadow", "job_events_shadow"):
        clickhouse.command(f"DROP TABLE IF EXISTS {table} SYNC")


def right(settings: Settings, clickhouse: Client) -> None:
    """The live tables are what the log says, both of them."""
    report = verify(settings)
    assert report.ok, render(report)
    assert clickhouse.query(FOUND).result_rows == clickhouse.query(TIMES).result_rows


def test_a_rebuild_restores_what_was_lost_and_can_be_taken_back(
    settings: Settings, writer: LogWriter, clickhouse: Client
) -> None:
    writer.history(seed=3, events=150)
    project(settings)
    clickhouse.command(
        "DELETE FROM job_events WHERE position % 7 = 0", settings={"mutations_sync": 2}
    )
    clickhouse.command(
        "DELETE FROM job_times WHERE cityHash64(job) % 3 = 0", settings={"mutations_sync": 2}
    )
    filled(settings, NAME)
    found = step(settings, Rebuild.compare, NAME)
    assert {one.table for one in found.differences} == {"job_events", "job_times"}
    assert found.total > 150 // 7
    writer.history(seed=4, events=200)
    project(settings)
    assert step(settings, Rebuild.cutover, NAME) == {0: writer.position}
    right(settings, clickhouse)
    writer.history(seed=5, events=250)
    project(settings)
    right(settings, clickhouse)
    step(settings, Rebuild.rollback, NAME)
    assert clickhouse.query("SELECT count() FROM job_events FINAL").result_rows[0][0] < 250
    step(settings, Rebuild.cutover, NAME)
    project(settings)
    right(settings, clickhouse)
    assert step(settings, Rebuild.drop, NAME)
    tables = clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    assert not [name for (name,) in tables.result_rows if "shadow" in name]


def test_what_is_equal_is_found_equal_while_a_projector_works(
    settings: Settings, writer: LogWriter
) -> None:
    writer.history(seed=3, events=150)
    project(settings)
    filled(settings, NAME)

    async def at_once() -> Any:
        async with rebuilding(settings, NAME) as rebuild:
            await asyncio.to_thread(writer.history, 4, 250)
            comparing = asyncio.create_task(rebuild.compare())
            while not comparing.done():
                await asyncio.to_thread(project, settings, clickhouse_projection, batch=9)
            return await comparing

    found = run(at_once())
    assert found.ok, found.differences
    assert found.rows["job_events"][1] >= 150


class DiesExchanging(ClickHouseTables):
    """A switch that dies after so many exchanges."""

    def __init__(self, url: str, exchanges: int) -> None:
        super().__init__(url)
        self._left = exchanges

    async def switch(self, connection: Connection, shadow: Shadow, *, forth: bool) -> None:
        await super().switch(connection, shadow, forth=forth)
        raise Killed

    async def _command(self, command: str) -> None:
        if command.startswith("EXCHANGE"):
            self._left -= 1
            if self._left < 0:
                raise Killed
        await super()._command(command)


@pytest.mark.parametrize(("exchanges", "ahead"), [(0, True), (1, True), (2, True), (1, False)])
def test_a_switch_that_stopped_between_its_exchanges(
    settings: Settings, writer: LogWriter, clickhouse: Client, *, exchanges: int, ahead: bool
) -> None:
    """The live projector goes on with one table of each pair; or it stays behind the shadow."""

    async def dying(do: Callable[[Rebuild], Awaitable[Any]]) -> None:
        async with opened(settings) as (log, connection):
            target = DiesExchanging(settings.clickhouse_url, exchanges)
            with pytest.raises(Killed):
                await do(Rebuild(log, connection, settings.database_url, target))
            target.close()

    writer.run(10)
    project(settings)
    writer.run(10)
    filled(settings, NAME)
    writer.run(10)
    for do in (Rebuild.cutover, Rebuild.rollback):
        run(dying(do))
        for other in (Rebuild.fill, Rebuild.drop):
            with pytest.raises(ConflictError):
                step(settings, other, NAME)
        writer.run(10)
        if ahead:
            project(settings)
        writer.run(10)
        before = step(settings, Rebuild.status, NAME).partitions[0].live
        assert step(settings, do, NAME)[0] >= before, "readers would see history come again"
        writer.run(10)
        project(settings)
        right(settings, clickhouse)
        # What was switched out is complete too, once it is up to date.
        found = step(settings, Rebuild.compare, NAME)
        assert found.ok, found.differences
        writer.run(10)


def test_a_switch_killed_at_every_await_loses_nothing(
    settings: Settings, writer: LogWriter, clickhouse: Client, postgres: psycopg.Connection
) -> None:
    """Between the exchanges the live projector goes on, with one table of each kind."""
    writer.history(seed=3, events=60)
    project(settings)
    filled(settings, NAME)
    halves = 0
    for do, end in ((Rebuild.cutover, "previous"), (Rebuild.rollback, "ready")):
        at, state = 0, ""
        while state != end:
            at += 7
            writer.submit()
            for job in writer.claim(1):
                writer.finish(job, Completed())
            if at % 3 == 0:
                project(settings, clickhouse_projection)
            interrupted = run(killed(settings, at, do, NAME))
            if at % 3 == 1:
                project(settings, clickhouse_projection)
            state = step(settings, Rebuild.status, NAME).state
            halves += state in ("cutting", "returning")
            if state in ("cutting", "returning"):
                for other in (Rebuild.fill, Rebuild.drop):
                    with pytest.raises(ConflictError):
                        step(settings, other, NAME)
            assert interrupted or state == end
        assert at > 20
        project(settings, clickhouse_projection, postgres_projection)
        right(settings, clickhouse)
        # What was switched out is complete as well, or will be before it comes back.
        found = step(settings, Rebuild.compare, NAME)
        assert found.ok, found.differences
    assert halves > 1
