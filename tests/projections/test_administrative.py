"""Administrative events are history in both stores, and state in none."""

from __future__ import annotations

import msgspec
import psycopg
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import project, run

from triton.audit.indexed import administrative, children
from triton.cli.open_log import open_log
from triton.events.client import connect_async
from triton.events.codec import encode_data
from triton.events.submission import Submission
from triton.events.types import (
    AdministrativeData,
    AuditRead,
    HoldLifted,
    HoldPlaced,
    QueuePaused,
    RetentionSet,
    Submitted,
)
from triton.history import History, open_past
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings


def _write(writer: LogWriter) -> None:
    """Five events: two of jobs, three of none, one of which was sent twice."""
    writer.submit("a")
    writer.send(
        writer.scripts.hold(writer.prefix, "default", "paused", by="user:ann", reason="why")
    )
    for _ in range(2):
        note = AuditRead(what="at", filter={"job": "a"})
        writer.send(writer.scripts.note(writer.prefix, note, op="1", by="key:7", tenant="acme"))
    writer.submit("b")
    held = HoldPlaced(hold="h", scope="job", value="a", reason="case 7")
    writer.send(writer.scripts.note(writer.prefix, held, op="2", by="user:ann"))


def test_they_are_in_the_history_of_both_stores_and_in_no_table_of_jobs(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, clickhouse: Client
) -> None:
    _write(writer)
    project(settings)
    expected = [
        ("queue.paused", 2, "", 0, 0, "user:ann", "", ""),
        ("audit.read", 3, "", 0, 0, "key:7", "acme", ""),
        ("hold.placed", 5, "", 0, 0, "user:ann", "", ""),
    ]
    query = "SELECT type, position, job, version, attempt, by, tenant, queue FROM job_events"
    query += " WHERE job = '' ORDER BY position"
    assert postgres.execute(query.encode()).fetchall() == expected
    assert clickhouse.query(query).result_rows == expected
    row = postgres.execute("SELECT data FROM job_events WHERE position = 3").fetchone()
    assert row == ({"what": "at", "filter": {"job": "a"}},)
    assert postgres.execute("SELECT job FROM jobs ORDER BY job").fetchall() == [("a",), ("b",)]
    assert clickhouse.query("SELECT DISTINCT job FROM job_times ORDER BY job").result_rows == [
        ("a",),
        ("b",),
    ]
    report = verify(settings)
    assert report.ok, render(report)


def test_tables_that_were_made_anew_learn_what_is_held_and_kept_how_long(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Of the events; and a row that its command wrote first stays as it is."""

    def say(data: AdministrativeData, op: str) -> None:
        writer.send(writer.scripts.note(writer.prefix, data, op=op, by="user:ann"))

    postgres.execute(
        "INSERT INTO holds (hold, scope, value, reason, placed_by) VALUES ('own', 'job', 'a', 'w', 'x')"
    )
    for name in ("on", "lifted", "later", "own"):
        say(HoldPlaced(hold=name, scope="queue", value="q", reason="case"), name)
    say(HoldLifted(hold="lifted", scope="queue", value="q", reason="over"), "l1")
    say(RetentionSet(tenant="acme", days=5, before=-1, reason="first"), "r1")
    say(RetentionSet(tenant="acme", days=9, before=5, reason="second"), "r2")
    project(settings)
    say(HoldLifted(hold="later", scope="queue", value="q", reason="over"), "l2")
    say(RetentionSet(tenant="acme", days=30, before=9, reason="third"), "r3")
    project(settings)

    assert postgres.execute(
        "SELECT hold, scope, value, reason, placed_by, lifted_by, lifted_why FROM holds ORDER BY hold"
    ).fetchall() == [
        ("later", "queue", "q", "case", "user:ann", "user:ann", "over"),
        ("lifted", "queue", "q", "case", "user:ann", "user:ann", "over"),
        ("on", "queue", "q", "case", "user:ann", None, None),
        ("own", "job", "a", "w", "x", None, None),
    ]
    assert postgres.execute(
        "SELECT tenant, queue, days, reason, set_by FROM retention"
    ).fetchall() == [("acme", "", 30, "third", "user:ann")]


def test_verify_sees_one_that_was_changed(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    _write(writer)
    project(settings)
    postgres.execute("UPDATE job_events SET by = 'user:bob' WHERE position = 2")
    report = verify(settings)
    assert [(found.key, found.field, found.actual) for found in report.differences] == [
        ("0:2", "by", "user:bob")
    ]


def test_one_that_cannot_be_read_holds_up_no_other(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Jobs have an order that a parked event breaks; these have none."""
    strange = writer.scripts.note(writer.prefix, QueuePaused(queue="q"), op="x", by="user:ann")
    writer.send(strange._replace(args=(*strange.args[:2], b"\x81")))
    _write(writer)
    project(settings, batch=1)
    found = postgres.execute("SELECT position FROM job_events WHERE job = '' ORDER BY 1").fetchall()
    assert found == [(3,), (4,), (6,)]
    parked = postgres.execute("SELECT projector, position, job FROM parked_events ORDER BY 1")
    assert parked.fetchall() == [("clickhouse", 1, ""), ("postgres", 1, "")]


def test_the_index_finds_what_the_log_does(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """Children and administrative events: projected, not yet projected, and without PostgreSQL."""

    def child(job: str) -> None:
        data = encode_data(Submitted(actor="a", body=b"{}"))
        submission = Submission(
            job=job,
            queue="default",
            actor="a",
            tenant="t",
            by="s",
            causation="job:a",
            data=data,
            body=b"{}",
        )
        writer.send(writer.scripts.submit(writer.prefix, [submission]))

    async def ask(chosen: Settings) -> tuple[list[str], list[int]]:
        client = connect_async(chosen.redis_url)
        try:
            log = await open_log(client, chosen)
            history = History.over(log, open_past(chosen))
            found = await children(history, "job:a", 0, limit=10)
            types = ("queue.paused", "audit.read")
            noted = administrative(history, 0, types, 1, await log.position(0))
            return found, [event.position async for event in noted]
        finally:
            await client.aclose()

    _write(writer)
    child("c1")
    without = msgspec.structs.replace(settings, database_url="")
    project(settings)
    assert run(ask(settings)) == run(ask(without)) == (["c1"], [2, 3])
    writer.send(writer.scripts.hold(writer.prefix, "x", "paused", by="user:ann"))
    child("c2")
    assert run(ask(settings)) == run(ask(without)) == (["c1", "c2"], [2, 3, 7])
    postgres.execute("UPDATE job_submissions SET causation = 'job:b' WHERE job = 'c1'")
    assert run(ask(settings)) == (["c2"], [2, 3, 7]), "PostgreSQL was asked"
