"""A poison event parks its job's later events, and lets everybody else's flow."""

from __future__ import annotations

import secrets

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import postgres_projection, project

from triton.events.types import Completed, Progressed
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings


def poison(writer: LogWriter, position: int, field: str, value: bytes) -> None:
    """Put other content into one field of an entry, as a bug in a script would."""
    entries = writer.client.execute_command("XRANGE", writer.stream, "-", "+")
    writer.client.delete(writer.stream)
    for number, (entry_id, fields) in enumerate(entries, start=1):
        if number == position:
            fields[fields.index(field.encode()) + 1] = value
        writer.client.execute_command("XADD", writer.stream, entry_id, *fields)


@pytest.mark.parametrize("batch", [1, 4, 5000])
def test_an_unreadable_event_parks_its_job(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    clickhouse: Client,
    batch: int,
) -> None:
    job = writer.submit()
    writer.run()
    (claimed,) = writer.claim()
    writer.finish(claimed, Completed())
    other = writer.run()
    poison(writer, 3, "data", b"\xc1")
    (victim,) = {job, claimed.job} - {claimed.job} or {job}
    project(settings, batch=batch)
    parked = postgres.execute(
        "SELECT projector, position, job, reason FROM parked_events ORDER BY 1, 2"
    ).fetchall()
    assert {row[2] for row in parked} == {victim}
    assert [row[:2] for row in parked] == [
        (name, position) for name in ("clickhouse", "postgres") for position in (3, 4)
    ]
    assert "DecodeError" in parked[0][3]
    assert (
        postgres.execute("SELECT position FROM job_events ORDER BY 1").fetchall()
        == clickhouse.query("SELECT position FROM job_events FINAL ORDER BY 1").result_rows
    )
    states = dict(postgres.execute("SELECT job, state FROM jobs").fetchall())
    assert states[victim] == "pending"
    assert states[other[0]] == "completed"
    report = verify(settings)
    assert not report.ok
    assert report.total == 0, render(report)
    assert "parked by postgres: 0:3" in render(report)


def test_an_event_out_of_order_parks_its_job_only_in_postgres(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """ClickHouse folds nothing, so it can take the event."""
    job = writer.submit()
    project(settings)
    (claimed,) = writer.claim()
    writer.run()
    writer.report(claimed, 1, Progressed(percent=1))
    poison(writer, 2, "version", b"7")
    project(settings)
    assert postgres.execute(
        "SELECT projector, position, job, reason FROM parked_events"
    ).fetchall() == [
        ("postgres", 2, job, "version 7 of the job follows 1"),
        ("postgres", 6, job, "behind position 2 of this job"),
    ]
    assert postgres.execute("SELECT count(*), sum(version) FROM jobs").fetchone() == (2, 4)


def test_what_only_postgres_refuses_is_found_and_parked(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """An id too long for an index, among a batch of good events; a long number is no trouble."""
    writer.run(5)
    job = writer.submit(body=b'{"args":[1],"kwargs":{"n":1%s}}' % (b"0" * 4000))
    bad = writer.submit(secrets.token_urlsafe(3000))
    writer.run(5)
    project(settings, postgres_projection)
    parked = postgres.execute("SELECT job, reason FROM parked_events ORDER BY position").fetchall()
    assert [row[0] for row in parked] == [bad] * 3
    assert parked[0][1].startswith("PostgreSQL refuses it: index row size")
    assert parked[1][1] == "behind a parked event of this job"
    assert postgres.execute("SELECT count(*) FROM jobs").fetchone() == (11,)
    assert postgres.execute(
        "SELECT kwargs ->> 'n' FROM jobs WHERE job = %s", (job,)
    ).fetchone() == ("1" + "0" * 4000,)
