"""Relays are killed at random points while an application commits and rolls back: jobs = committed rows."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis
from broker_log import History
from dramatiq import Message
from own_server import OwnServer
from relay_process import RelayProcess

from eventually import eventually
from triton import keys, outbox
from triton.events.types import Submitted
from triton.settings import Settings

TRANSACTIONS = 500


def submit_at_random(url: str, chance: random.Random, committed: list[str]) -> None:
    """Transactions of one to nine rows; a third of them rolls back, as does one whose connection dies."""
    with psycopg.connect(url, autocommit=True) as app:
        for _ in range(TRANSACTIONS):
            keep = chance.random() > 0.33
            with app.transaction(force_rollback=not keep):
                ids = [
                    outbox.enqueue(app, call(number)).message_id
                    for number in range(chance.randint(1, 9))
                ]
            committed += ids if keep else []


def call(number: int) -> Message[Any]:
    return Message(queue_name="default", actor_name="pay", args=(number,), kwargs={}, options={})


def test_every_committed_row_is_exactly_one_job_while_relays_are_killed(
    settings: Settings,
    history: History,
    relay: Callable[[], RelayProcess],
    app: psycopg.Connection,
    redis_client: redis.Redis,
) -> None:
    seed = 20261121
    chance = random.Random(seed)
    committed: list[list[str]] = [[], []]
    writers = [
        threading.Thread(
            target=submit_at_random, args=(settings.outbox_url, random.Random(seed + n), ids)
        )
        for n, ids in enumerate(committed)
    ]
    for writer in writers:
        writer.start()
    log = keys.log(keys.prefix(settings.namespace, 0))
    started = [relay()]  # sometimes both of two relays side by side die
    for number in range(6):
        victim = relay()
        started.append(victim)
        # In the middle of a batch: after the log grew by some jobs, and a moment of any length more.
        target = int(redis_client.xlen(log)) + chance.randint(1, 300)
        eventually(
            lambda n=target: redis_client.xlen(log) >= n or not alive(writers), interval=0.001
        )
        time.sleep(chance.random() * 0.03)
        for process in started if number % 2 else [victim]:
            process.kill()
    for writer in writers:
        writer.join()
    last = relay()
    eventually(
        lambda: not app.execute("SELECT count(*) FROM triton_outbox").fetchall()[0][0], timeout=60
    )
    assert last.end() == 0

    jobs = Counter(event.job for event in history.events() if isinstance(event.data, Submitted))
    assert jobs == Counter(committed[0] + committed[1])


def alive(writers: list[threading.Thread]) -> bool:
    return any(writer.is_alive() for writer in writers)


def test_a_relay_killed_between_the_log_and_the_table_submits_no_row_twice(
    settings: Settings, history: History, relay: Callable[[], RelayProcess], app: psycopg.Connection
) -> None:
    """The table refuses the delete until the relay was killed: the rows are jobs, and still rows."""
    for number in range(20):
        outbox.enqueue(app, call(number))
    app.execute(
        "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN OLD; END $$;"
        "CREATE TRIGGER stall BEFORE DELETE ON triton_outbox FOR EACH ROW EXECUTE FUNCTION stall()"
    )
    with psycopg.connect(settings.outbox_url, autocommit=True) as blocker:
        blocker.execute("SELECT pg_advisory_lock(7)")
        first = relay()
        eventually(lambda: len(history.events()) == 20)
        first.kill()
    relay()
    eventually(lambda: not app.execute("SELECT count(*) FROM triton_outbox").fetchall()[0][0])

    assert len(history.events()) == 20


def test_a_relay_goes_on_by_itself_after_either_server_was_away(
    settings: Settings, relay: Callable[[], RelayProcess], app: psycopg.Connection, tmp_path: Path
) -> None:
    import shutil
    import tempfile

    import msgspec

    folder = Path(tempfile.mkdtemp(prefix="t"))
    server = OwnServer(folder)
    try:
        away = msgspec.structs.replace(settings, redis_url=server.url)
        process = RelayProcess(away, tmp_path / "away.log")
        outbox.enqueue(app, call(1))
        eventually(lambda: "outbox_waits" in process.log.read_text(), timeout=60)
        server.start()
        eventually(lambda: not app.execute("SELECT count(*) FROM triton_outbox").fetchall()[0][0])
        app.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'triton relay' AND datname = current_database()"
        )
        outbox.enqueue(app, call(2))
        eventually(lambda: not app.execute("SELECT count(*) FROM triton_outbox").fetchall()[0][0])
        assert process.end() == 0
        with redis.Redis.from_url(server.url) as client:
            assert len(History(client, settings.namespace).events()) == 2
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
