"""Rows of the outbox become jobs: once each, in order, with what cannot be a job set aside."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import dramatiq
import psycopg
import pytest
from broker_log import History
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from eventually import eventually
from triton import TritonBroker, keys, migrate, outbox
from triton.errors import ConfigurationError, ValidationError
from triton.events.client import connect, send
from triton.events.scripts import Scripts, pack_outcome
from triton.events.types import Completed, Submitted
from triton.outbox.relay import Relay
from triton.settings import Settings
from triton.submitter import Accepted, Submitter


def call(*args: Any, actor: str = "pay", **options: Any) -> Message[Any]:
    return Message(queue_name="default", actor_name=actor, args=args, kwargs={}, options=options)


@contextmanager
def running(settings: Settings) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=Relay(settings, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        with psycopg.connect(settings.outbox_url, autocommit=True) as connection:
            connection.execute("NOTIFY triton_outbox")
        thread.join()


def waiting(app: psycopg.Connection) -> int:
    found = app.execute("SELECT count(*) FROM triton_outbox WHERE refused_at IS NULL").fetchone()
    assert found is not None
    return int(found[0])


def submitted(history: History) -> list[str]:
    return [event.job for event in history.events() if isinstance(event.data, Submitted)]


def test_committed_rows_become_jobs_in_order_and_others_do_not(
    app: psycopg.Connection, settings: Settings, history: History
) -> None:
    kept = []
    with app.transaction():
        kept += [outbox.enqueue(app, call(number)).message_id for number in range(5)]
    with app.transaction(force_rollback=True):
        outbox.enqueue(app, call("never"))

    with running(settings):
        eventually(lambda: not waiting(app))

    assert submitted(history) == kept


def test_a_notification_wakes_the_relay(
    app: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch, history: History
) -> None:
    monkeypatch.setattr("triton.outbox.relay.POLL", 60.0)
    with running(settings):
        eventually(
            lambda: app.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'triton relay' "
                "AND datname = current_database() AND state = 'idle'"
            ).fetchone()
        )
        # Until the second one it may still have been on its way to waiting.
        for number in range(2):
            outbox.enqueue(app, call(number))
            eventually(lambda: not waiting(app))
    assert len(submitted(history)) == 2


def test_an_asynchronous_connection(
    app: psycopg.Connection, settings: Settings, outbox_url: str, history: History
) -> None:
    async def main() -> str:
        async with await psycopg.AsyncConnection.connect(outbox_url) as connection:
            return (await outbox.aenqueue(connection, call("a"))).message_id

    job = asyncio.run(main())
    with running(settings):
        eventually(lambda: not waiting(app))
    assert submitted(history) == [job]


def test_a_message_comes_through_as_it_is(
    app: psycopg.Connection, settings: Settings, broker: TritonBroker, history: History
) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    text = 'é \x00 \ud800 "\\'
    sent = call(text, 1.5, 2**70, tenant="acme", max_retries=7, run_at=at, priority=-3)
    outbox.enqueue(app, sent)
    later = outbox.enqueue(app, call("later"), delay=60_000)

    with running(settings):
        eventually(lambda: not waiting(app))

    event, delayed = history.events()
    assert isinstance(event.data, Submitted)
    body = json.loads(event.data.body)
    assert (body["args"], body["options"]["max_retries"]) == ([text, 1.5, 2**70], 7)
    assert (event.job, event.tenant, event.data.priority) == (sent.message_id, "acme", -3)
    assert abs(event.data.due - at.timestamp() * 1e6) < 1500
    assert isinstance(delayed.data, Submitted)
    assert delayed.job == later.message_id
    assert 0 < delayed.data.due - delayed.at <= 60e6


def test_what_the_actor_declared_goes_with_the_row(
    app: psycopg.Connection, settings: Settings, history: History
) -> None:
    stub = StubBroker(middleware=[])
    stub.actor_options |= {"unique", "ttl"}
    before = dramatiq.broker.global_broker
    dramatiq.set_broker(stub)
    try:

        @dramatiq.actor(unique=True, ttl=60_000, priority=4, queue_name="money")
        def bill(customer: str) -> None: ...

        first = outbox.enqueue(app, bill.message("ann"))
        outbox.enqueue(app, bill.message("ann"))
        with pytest.raises(ValidationError, match="customer"):
            outbox.enqueue(app, bill.message())
    finally:
        dramatiq.broker.global_broker = before

    with running(settings):
        eventually(lambda: not waiting(app))

    (event,) = history.events()
    assert isinstance(event.data, Submitted)
    assert (event.job, event.queue, event.data.priority) == (first.message_id, "money", 4)
    assert event.data.expires > 0


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (call(object()), "args"),
        (call(float("nan")), "args"),
        (call(actor="a" * 201), "actor"),
        (call(run_at=datetime(2020, 1, 1, tzinfo=UTC)), "run_at"),
        (call("x" * (17 * 1024 * 1024)), "bytes"),
    ],
    ids=["object", "nan", "name", "past", "large"],
)
def test_what_cannot_be_a_job_is_refused_in_the_transaction(
    app: psycopg.Connection, message: Message[Any], field: str
) -> None:
    with app.transaction(), pytest.raises(ValidationError, match=field):
        outbox.enqueue(app, message)
    assert not waiting(app)


def test_rows_of_plain_sql_that_cannot_be_jobs_are_set_aside_with_their_error(
    app: psycopg.Connection, settings: Settings, history: History
) -> None:
    insert = "INSERT INTO triton_outbox (actor, args, kwargs, options) VALUES (%s, %s, %s, %s)"
    bad = {
        "actor": ("", "[]", "{}", "{}"),
        "args": ("a", '{"no": "array"}', "{}", "{}"),
        "kwargs": ("a", "[]", "3", "{}"),
        "options": ("a", "[]", "{}", "[" * 5000 + "]" * 5000),
        "priority": ("a", "[]", "{}", '{"priority": "high"}'),
        "ttl": ("a", "[]", "{}", '{"ttl": -1}'),
        "bytes": ("a", json.dumps(["x" * 600_000]), "{}", "{}"),
    }
    for values in bad.values():
        app.execute(insert, values)
    app.execute(insert, ("good", '["x"]', '{"y": 1}', "{}"))

    with running(settings):
        eventually(lambda: not waiting(app))

    (event,) = history.events()
    assert isinstance(event.data, Submitted)
    assert (event.data.actor, event.queue) == ("good", "default")
    errors = app.execute("SELECT error FROM triton_outbox ORDER BY id").fetchall()
    for word, (error,) in zip(bad, errors, strict=True):
        assert word in error


def test_a_row_goes_to_the_queue_and_by_the_signature_that_workers_announced(
    app: psycopg.Connection, settings: Settings, broker: TritonBroker, history: History
) -> None:
    @dramatiq.actor(broker=broker, queue_name="special")
    def known(one: int) -> None: ...

    consumer = broker.consume("special")
    for args in ("[1]", "[1, 2]"):
        app.execute("INSERT INTO triton_outbox (actor, args) VALUES ('known', %s)", (args,))
    with running(settings):
        eventually(lambda: not waiting(app))
    consumer.close()

    (job,) = submitted(history)
    assert history.of(job)[0].queue == "special"
    (error,) = app.execute("SELECT error FROM triton_outbox").fetchall()[0]
    assert "do not fit" in error


def test_a_row_whose_queue_drains_waits_without_holding_up_others(
    app: psycopg.Connection, settings: Settings, broker: TritonBroker, history: History
) -> None:
    broker._intake.hold("default", "draining", "user:test", "")
    outbox.enqueue(app, call("waits"))
    other = Message(queue_name="other", actor_name="pay", args=(), kwargs={}, options={})
    outbox.enqueue(app, other)

    with running(settings):
        eventually(lambda: waiting(app) == 1 and submitted(history))
        assert submitted(history) == [other.message_id]
        broker._intake.hold("default", "open", "user:test", "")
        app.execute("UPDATE triton_outbox SET retry_at = now()")
        eventually(lambda: not waiting(app))
    assert len(submitted(history)) == 2


def test_the_relay_waits_for_its_table(
    database_url: str, settings: Settings, app: psycopg.Connection, history: History
) -> None:
    migrate.down(database_url, to=0, outbox=True)
    with running(settings):
        migrate.up(database_url, outbox=True)
        outbox.enqueue(app, call())
        eventually(lambda: not waiting(app))
    assert len(submitted(history)) == 1


def test_a_relay_needs_the_url_of_a_database() -> None:
    with pytest.raises(ConfigurationError, match="TRITON_OUTBOX_URL"):
        Relay(Settings(redis_url="redis://127.0.0.1:1"), threading.Event())


def test_a_row_that_is_moved_again_long_after_its_job_ended_is_no_second_job(
    settings: Settings, history: History
) -> None:
    """The relay died before it removed the row; its job's history has left Redis since."""
    message = call(1)
    submitter, scripts = Submitter(settings), Scripts()
    prefix = keys.prefix(settings.namespace, 0)
    assert submitter.submit([message]) == [Accepted(message.message_id, existing=False)]
    claim = scripts.claim(
        prefix, worker="w", op="1", queues=["default"], limit=1, lease_ms=60_000, max_deaths=1
    )
    done = pack_outcome(message.message_id, 1, "worker:w", Completed())
    with connect(settings.redis_url) as client:
        send(client, [claim, scripts.finish(prefix, [done])])
        assert history.events()
        send(client, [scripts.trim(prefix, 3, grace_ms=0)])
    assert submitter.submit([message]) == [Accepted(message.message_id, existing=True)]
    submitter.close()
