"""No row that SQL can write stops the relay: each becomes a job or is set aside, and the next one goes."""

from __future__ import annotations

import threading

import psycopg
import psycopg.sql
import pytest
from broker_log import History

from eventually import eventually
from triton.events.types import Submitted
from triton.outbox.relay import Relay
from triton.settings import Settings

DEEP = "[" * 500 + "]" * 500
ROWS = [
    {"due": "infinity"},
    {"due": "-infinity"},
    {"due": "290000-01-01"},
    {"due": "9999-12-31"},
    {"due": "4000-01-01 BC"},
    {"created_at": "infinity"},
    {"created_at": "-infinity"},
    {"created_at": "290000-01-01"},
    {"job": ""},
    {"job": "x" * 100_000},
    {"job": "a b}{\n\té"},
    {"queue": ""},
    {"queue": "q" * 5000},
    {"queue": "a b}{:\n"},
    {"queue": "default.DQ"},
    {"actor": "\n"},
    {"actor": "é" * 200},
    {"args": "[1e999]"},
    {"args": "[" + "9" * 5000 + "]"},
    {"args": DEEP},
    {"args": "[" * 5000 + "]" * 5000},
    {"args": "null"},
    {"kwargs": '{"a": "\\ud800", "\\udfff": 1}'},
    {"kwargs": '{"a": 1, "a": 2}'},
    {"kwargs": '{"": "\\u0000"}'},
]
NAMES = [
    "priority", "ttl", "unique", "idempotency_key", "max_retries", "tenant", "correlation",
    "causation", "traceparent", "time_limit", "soft_time_limit", "retries", "retry", "no_retry",
    "run_at", "delay", "eta", "pipe_target", "group_completion_uuid", "min_backoff", "max_backoff",
    "queue_name", "broadcast", "max_age", "on_failure", "on_success", "pipe_ignore", "body",
    "asyncio", "redis_message_id", "traceback", "throws", "store_results", "result_ttl",
]  # fmt: skip
VALUES = [
    "null", "true", '""', '"\\ud800\\u0000"', "-1", "0.5", "1e999", "1e30", "9" * 400, "[]", "{}",
    '[{"a": null}]', '{"a": {"b": []}}', '{"key": 1, "by": 2, "window": "x", "conflict": []}',
    '"2020-01-01"', '"2020-01-01T00:00:00Z"', '"9999-12-31T23:59:59-23:59"', DEEP,
]  # fmt: skip


@pytest.mark.parametrize("form", ["columns", "options"])
def test_no_row_stops_the_relay(
    form: str, app: psycopg.Connection, settings: Settings, history: History
) -> None:
    rows = ROWS
    if form == "options":
        rows = [{"options": f'{{"{name}": {value}}}'} for name in NAMES for value in VALUES]
    with app.transaction():
        for number, row in enumerate(rows):
            columns = {"job": f"odd-{number}", "actor": "odd", **row}
            names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, columns))
            marks = psycopg.sql.SQL(", ").join([psycopg.sql.Placeholder()] * len(columns))
            insert = psycopg.sql.SQL("INSERT INTO triton_outbox ({}) VALUES ({})")
            app.execute(insert.format(names, marks), list(columns.values()))
        app.execute("INSERT INTO triton_outbox (job, actor) VALUES ('last', 'good')")
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            Relay(settings, stop).run()
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(
            lambda: (
                failed
                or not app.execute(
                    "SELECT 1 FROM triton_outbox WHERE refused_at IS NULL"
                ).fetchone()
            ),
            timeout=60,
        )
    finally:
        stop.set()
        thread.join()
    assert not failed
    jobs = [event.job for event in history.events() if isinstance(event.data, Submitted)]
    assert jobs[-1] == "last"
    refused = dict(app.execute("SELECT job, error FROM triton_outbox").fetchall())
    assert not refused.keys() & set(jobs)
    if form == "columns":
        assert "due is infinity" in refused["odd-0"]
        assert "odd-1" in jobs
