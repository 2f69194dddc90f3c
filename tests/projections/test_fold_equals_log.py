"""Both projections equal the fold of the log, whatever it holds and however it is cut into batches."""

from __future__ import annotations

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import project

from triton.events.types import Completed, Error, Failed, Progressed
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings


@pytest.mark.parametrize(
    ("seed", "events", "batch"), [(1, 400, 5000), (2, 40, 1), (3, 120, 7), (4, 400, 50)]
)
def test_random_lives_with_odd_texts(
    settings: Settings, writer: LogWriter, seed: int, events: int, batch: int
) -> None:
    writer.history(seed, events)
    project(settings, batch=batch)
    report = verify(settings)
    assert report.ok, render(report)
    assert [(one.table, one.position) for one in report.checked] == [
        ("postgres.jobs", writer.position),
        ("postgres.job_events", writer.position),
        ("clickhouse.job_events", writer.position),
    ]
    assert report.checked[1].rows == report.checked[2].rows == writer.position
    assert report.checked[0].rows > 5


def test_what_a_person_reads_in_psql(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    job = writer.submit(args=[1, "two\0"], queue="mail", tenant="acme", actor="send")
    claimed = writer.claim(queue="mail")[0]
    writer.report(claimed, 1, Progressed(percent=12.5, stage="reading"))
    project(settings)
    row = postgres.execute(
        "SELECT state, tenant, queue, actor, attempt, percent, stage, worker, args, kwargs, error, result,"
        " finished_at, version, position, by FROM jobs WHERE job = %s",
        (job,),
    ).fetchone()
    assert row == (
        *("processing", "acme", "mail", "send", 1, 12.5, "reading", "w1", [1, "two\u2400"], {}),
        *(None, None, None, 3, 3, "user:tester"),
    )
    writer.finish(claimed, Failed(error=Error(type="ValueError", message="no\0")))
    project(settings)
    row = postgres.execute(
        "SELECT state, worker, error, reason, finished_at >= started_at FROM jobs"
    ).fetchone()
    assert row == (*("failed", "", {"type": "ValueError", "message": "no\u2400"}, "error", True),)
    history = postgres.execute(
        "SELECT type, data FROM job_events WHERE job = %s ORDER BY version", (job,)
    ).fetchall()
    assert [kind for kind, _ in history] == [
        *("job.submitted", "job.started", "job.progressed", "job.failed"),
    ]
    assert history[0][1]["body"]["args"] == [1, "two\u2400"]
    assert history[1][1] == {"worker": "w1"}


def test_a_body_that_is_no_json_is_shown_as_base64(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    writer.submit(body=b"\x80pickle")
    writer.submit(body=b'{"args":["\\ud800",NaN],"kwargs":{"big":1e999}}')
    project(settings)
    found = postgres.execute(
        "SELECT s.args, s.kwargs, e.data -> 'body' FROM jobs s JOIN job_events e USING (job)"
        " ORDER BY e.position"
    ).fetchall()
    assert found[0] == (None, None, "gHBpY2tsZQ==")
    assert found[1] == (
        ["\ufffd", None],
        {"big": None},
        {"args": ["\ufffd", None], "kwargs": {"big": None}},
    )
    assert verify(settings).ok


def test_an_id_that_comes_back_begins_again(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Redis forgets ended jobs; a later submit under the same id is another job of that name."""
    writer.submit("one", actor="first")
    for job in writer.claim():
        writer.finish(job, Completed(result=1))
    project(settings)
    writer.client.delete(writer.prefix + "job:one")
    writer.submit("one", actor="second")
    writer.submit("two")
    project(settings)
    assert postgres.execute(
        "SELECT actor, state, version, result FROM jobs ORDER BY job"
    ).fetchall() == [
        ("second", "pending", 1, None),
        ("noop", "pending", 1, None),
    ]
    report = verify(settings)
    assert report.ok, render(report)


def test_the_views_say_what_happened(
    settings: Settings, writer: LogWriter, clickhouse: Client
) -> None:
    writer.run(3)
    writer.submit()
    (failing,) = writer.claim()
    writer.finish(failing, Failed(error=Error(type="KeyError")))
    project(settings)
    sums = "sum(submitted), sum(started), sum(completed), sum(failed), sum(events)"
    assert clickhouse.query(f"SELECT {sums} FROM throughput_per_minute").result_rows == [
        (4, 4, 3, 1, 12)
    ]
    assert clickhouse.query(
        "SELECT error, sum(ended) FROM failures_per_minute GROUP BY 1"
    ).result_rows == [("KeyError", 1)]
    rows = clickhouse.query(
        "SELECT actor, sum(jobs), min(wait_p50_ms) >= 0, min(run_p99_ms) > 0"
        " FROM latency_per_minute GROUP BY actor"
    ).result_rows
    assert rows == [("noop", 4, True, True)]
