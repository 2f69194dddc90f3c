"""verify finds what is changed, missing or too much, in each table, and says which."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import project, run

from triton.events.log import Log
from triton.events.types import Completed, Progressed
from triton.projections.engines import open_engines
from triton.projections.report import Report, render
from triton.projections.verify import Verifier, verify
from triton.settings import Settings


@pytest.fixture
def job(settings: Settings, writer: LogWriter) -> str:
    """A job at positions 1 to 4, among others; everything is projected."""
    name = writer.submit("the-job")
    (claimed,) = writer.claim()
    writer.report(claimed, 1, Progressed(percent=50))
    writer.finish(claimed, Completed(result={"n": 1.5}))
    writer.run(3)
    writer.submit("waiting")
    project(settings)
    return name


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (
            "UPDATE job_states SET state = 'failed' WHERE job = 'the-job'",
            ("postgres.jobs", "the-job", "state", "completed", "failed"),
        ),
        (
            "UPDATE job_states SET result = '{\"n\": 1.6}' WHERE job = 'the-job'",
            ("postgres.jobs", "the-job", "result", '{"n":1.5}', '{"n":1.6}'),
        ),
        (
            "UPDATE job_states SET due_at = 'epoch' WHERE job = 'waiting'",
            ("postgres.jobs", "waiting", "due_at", "null", "0"),
        ),
        (
            "UPDATE job_submissions SET kwargs = '[]' WHERE job = 'the-job'",
            ("postgres.jobs", "the-job", "kwargs", "{}", "[]"),
        ),
        (
            "DELETE FROM job_states WHERE job = 'waiting'",
            ("postgres.jobs", "waiting", "row", "one row", "no row"),
        ),
        (
            "INSERT INTO job_submissions SELECT 'stranger', tenant, queue, actor, priority, submitted_at, by,"
            " causation, correlation, traceparent, args, kwargs, partition FROM job_submissions"
            " WHERE job = 'the-job'",
            ("postgres.jobs", "stranger", "row", "no row", "a row in job_submissions"),
        ),
        (
            "UPDATE job_events SET data = '{}' WHERE position = 3",
            ("postgres.job_events", "0:3", "data", '{"percent":50.0}', "{}"),
        ),
        (
            "UPDATE job_events SET at = at + interval '1 microsecond' WHERE position = 1",
            ("postgres.job_events", "0:1", "at", None, None),
        ),
        (
            "DELETE FROM job_events WHERE position = 2",
            ("postgres.job_events", "0:2", "row", "one row", "0 rows"),
        ),
        (
            "UPDATE job_events SET position = 99 WHERE position = 2",
            ("postgres.job_events", "0:99", "row", "no row", "a row"),
        ),
        (
            "UPDATE job_events SET partition = 5 WHERE position = 2",
            ("postgres.job_events", "5:*", "row", "no row", "1 rows"),
        ),
    ],
)
def test_in_postgres(
    settings: Settings,
    job: str,
    postgres: psycopg.Connection,
    harm: str,
    found: tuple[str, str, str, str | None, str | None],
) -> None:
    assert verify(settings).ok
    postgres.execute(harm.encode())
    assert_found(verify(settings), found)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (
            "ALTER TABLE job_events UPDATE data = '{}' WHERE position = 3",
            ("clickhouse.job_events", "0:3", "data", '{"percent":50.0}', "{}"),
        ),
        (
            "ALTER TABLE job_events DELETE WHERE position = 2",
            ("clickhouse.job_events", "0:2", "row", "one row", "0 rows"),
        ),
        (
            "INSERT INTO job_events (partition, position, job, version, type, at) VALUES"
            " (0, 2, 'the-job', 2, 'job.started', '2026-01-01 00:00:00')",
            ("clickhouse.job_events", "0:2", "row", "one row", "2 rows"),
        ),
        (
            "INSERT INTO job_events (partition, position, job, version, type, at) VALUES"
            " (0, 99, 'x', 2, 'job.started', '2026-01-01 00:00:00')",
            ("clickhouse.job_events", "0:99", "row", "no row", "a row"),
        ),
    ],
)
def test_in_clickhouse(
    settings: Settings,
    job: str,
    clickhouse: Client,
    harm: str,
    found: tuple[str, str, str, str, str],
) -> None:
    clickhouse.command(harm, settings={"mutations_sync": 1, "async_insert": 0})
    assert_found(verify(settings), found)


def test_a_projection_behind_the_log_is_no_difference(
    settings: Settings, writer: LogWriter
) -> None:
    writer.run()
    report = verify(settings)
    assert report.ok, render(report)
    assert "0 rows up to position 0 compared, 3 behind the log" in render(report)


def test_what_the_log_no_longer_holds_is_said(
    settings: Settings, writer: LogWriter, job: str
) -> None:
    writer.client.xtrim(writer.stream, minid="3-0", approximate=False)
    report = verify(settings)
    assert report.ok, render(report)
    assert any(
        "positions 1 to 2 of partition 0 are neither in Redis nor" in n for n in report.notes
    )
    assert report.checked[0].rows == 4
    writer.client.xtrim(writer.stream, maxlen=0, approximate=False)
    report = verify(settings)
    assert report.ok, render(report)
    assert [one.rows for one in report.checked] == [0, 0, 0]


def test_a_log_and_projectors_that_go_on_meanwhile_are_no_difference(
    settings: Settings, writer: LogWriter, job: str
) -> None:
    def more() -> None:
        writer.run(2)
        project(settings)

    class Busy(Log):
        """A log in which something happens after verify has asked for its end."""

        async def first_position(self, partition: int) -> int | None:
            await asyncio.to_thread(more)
            return await super().first_position(partition)

    async def verified() -> Report:
        async with open_engines(settings) as (log, connection, clickhouse):
            busy = Busy(log.client, log.namespace, log.epochs)
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            async with connection.transaction():
                return await Verifier(busy, connection, clickhouse).run()

    report = run(verified())
    assert report.ok, render(report)


def assert_found(report: Report, found: tuple[str, str, str, str | None, str | None]) -> None:
    assert not report.ok
    assert "NOT equal" in render(report)
    table, key, field, expected, actual = found
    matching = [
        one
        for one in report.differences
        if (one.table, one.key, one.field) == (table, key, field)
        and (expected is None or (one.expected, one.actual) == (expected, actual))
    ]
    assert matching, render(report)
