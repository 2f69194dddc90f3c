"""A live queue of Dramatiq's RedisBroker moves into Triton without losing or doubling a message."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from broker_log import History
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from own_server import OwnServer
from typer.testing import CliRunner

from eventually import eventually
from triton.adoption.redis_queue import RedisQueues
from triton.cli.app import app
from triton.events.types import Submitted
from triton.settings import Settings
from triton.submitter import Submitter


@pytest.fixture
def old(settings: Settings, namespace: str) -> Iterator[RedisBroker]:
    broker = RedisBroker(url=settings.redis_url, namespace=namespace, middleware=[])
    yield broker
    broker.client.close()


@contextmanager
def mover(settings: Settings, dead_after_ms: int = 60_000) -> Iterator[RedisQueues]:
    submitter = Submitter(settings)
    queues = RedisQueues(
        settings.redis_url, submitter, namespace=settings.namespace, dead_after_ms=dead_after_ms
    )
    try:
        yield queues
    finally:
        queues.close()
        submitter.close()


def call(*args: Any, **options: Any) -> Message[Any]:
    return Message(queue_name="mail", actor_name="send", args=args, kwargs={}, options=options)


def submitted(history: History) -> Counter[str]:
    return Counter(event.job for event in history.events() if isinstance(event.data, Submitted))


def test_waiting_delayed_and_abandoned_messages_become_jobs(
    old: RedisBroker, settings: Settings, history: History, redis_client: redis.Redis
) -> None:
    abandoned = [old.enqueue(call("abandoned", n), delay=60_000 if n else None) for n in range(2)]
    dead = RedisBroker(url=settings.redis_url, namespace=settings.namespace, middleware=[])
    assert dead.do_fetch("mail", 10)
    assert dead.do_fetch("mail.DQ", 10)
    long_ago = int(time.time() * 1000) - 70_000
    redis_client.zadd(f"{settings.namespace}:__heartbeats__", {dead.broker_id: long_ago})
    waiting = [old.enqueue(call("waiting", n, retries=n)) for n in range(300)]
    delayed = [old.enqueue(call("delayed", n), delay=3_600_000) for n in range(30)]

    with mover(settings) as queues:
        assert queues.names() == ["mail"]
        done = queues.move("mail")

    assert (done.moved, done.known, done.held, done.left) == (332, 0, 0, [])
    assert submitted(history) == Counter(m.message_id for m in abandoned + waiting + delayed)
    by_job = {event.job: event for event in history.events()}
    event = by_job[delayed[0].message_id]
    assert isinstance(event.data, Submitted)
    assert event.data.due == delayed[0].options["eta"] * 1000
    body = json.loads(event.data.body)
    assert (event.queue, body["queue_name"], body["options"]) == ("mail", "mail", {})
    event = by_job[waiting[7].message_id]
    assert isinstance(event.data, Submitted)
    assert json.loads(event.data.body)["options"] == {"retries": 7}
    assert not redis_client.exists(f"{settings.namespace}:mail.msgs", f"{settings.namespace}:mail")


def test_what_old_workers_hold_stays_theirs(
    old: RedisBroker, settings: Settings, history: History
) -> None:
    old.enqueue(call("held"))
    alive = RedisBroker(url=settings.redis_url, namespace=settings.namespace, middleware=[])
    (raw,) = alive.do_fetch("mail", 1)
    with mover(settings) as queues:
        assert queues.move("mail").held == 1
        assert not submitted(history)
        alive.do_ack("mail", Message.decode(raw).options["redis_message_id"])
        assert queues.move("mail").held == 0


def test_what_cannot_be_a_job_stays_in_the_old_queue(
    old: RedisBroker, settings: Settings, history: History, redis_client: redis.Redis
) -> None:
    old.enqueue(call("large", "x" * 600_000))
    old.do_enqueue("mail", "broken", b"no message")
    redis_client.rpush(f"{settings.namespace}:mail", "nobody")
    good = old.enqueue(call("good"))

    with mover(settings) as queues:
        done = queues.move("mail")
        assert (done.moved, len(done.left), done.held) == (1, 2, 0)
        assert queues.move("mail").left == []

    assert submitted(history) == Counter([good.message_id])
    assert redis_client.llen(f"{settings.namespace}:mail") == 2
    assert redis_client.hlen(f"{settings.namespace}:mail.msgs") == 2


def test_a_mover_that_is_killed_loses_and_doubles_nothing_while_senders_go_on(
    old: RedisBroker, settings: Settings, history: History, redis_client: redis.Redis
) -> None:
    seed = 20261121
    chance = random.Random(seed)
    sent: list[str] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set() and len(sent) < 5000:
            delay = chance.choice([None, None, 60_000])
            sent.append(old.enqueue(call(len(sent)), delay=delay).message_id)

    sender = threading.Thread(target=send)
    sender.start()
    env = {**os.environ, **settings.environment()}
    command = [sys.executable, "-m", "triton", "adopt", "redis", "--from", settings.redis_url]
    command += ["--prefix", settings.namespace, "--dead-after", "1", "--follow"]
    try:
        for _ in range(4):
            before = len(submitted(history))
            process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
            eventually(lambda n=before: len(submitted(history)) > n + chance.randint(0, 80))
            process.kill()
            process.wait()
    finally:
        stop.set()
        sender.join()

    def rest() -> bool:
        with mover(settings, dead_after_ms=1000) as queues:
            return queues.move("mail").held == 0

    eventually(rest, interval=0.2)
    assert submitted(history) == Counter(sent)


def test_the_command_says_what_it_moved(
    old: RedisBroker, settings: Settings, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    for number in range(3):
        old.enqueue(call(number))
    arguments = ["adopt", "redis", "--from", settings.redis_url, "--prefix", settings.namespace]

    first = CliRunner().invoke(app, [*arguments, "--queue", "mail", "--json"])
    again = CliRunner().invoke(app, arguments)

    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["queues"][0]["moved"] == 3
    assert (again.exit_code, again.stdout) == (0, "no queue has messages\n")
    assert len(submitted(history)) == 3


def test_following_ends_by_ctrl_c_and_counts_what_is_held_now(
    old: RedisBroker, settings: Settings, history: History
) -> None:
    old.enqueue(call("held"))
    alive = RedisBroker(url=settings.redis_url, namespace=settings.namespace, middleware=[])
    (raw,) = alive.do_fetch("mail", 1)
    first = old.enqueue(call("free"))
    command = [sys.executable, "-m", "triton", "adopt", "redis", "--from", settings.redis_url]
    command += ["--prefix", settings.namespace, "--follow", "--json"]
    env = {**os.environ, **settings.environment()}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        eventually(lambda: first.message_id in submitted(history))
        alive.do_ack("mail", Message.decode(raw).options["redis_message_id"])
        # A queue that comes after the other one, which is empty now: it was looked at once more.
        later = old.enqueue(call("later")._replace(queue_name="other"))
        eventually(lambda: later.message_id in submitted(history))
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    alive.client.close()
    counts = [(q["queue"], q["moved"], q["held"]) for q in json.loads(said)["queues"]]
    assert counts == [("mail", 1, 0), ("other", 1, 0)]
    assert process.returncode == 0


def test_a_move_ends_although_senders_are_faster(
    old: RedisBroker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        old.enqueue(call(number))
    with mover(settings) as queues:
        submit = queues._submitter.submit

        def send_more(messages: Any) -> Any:
            old.enqueue(call("more"))
            return submit(messages)

        monkeypatch.setattr(queues._submitter, "submit", send_more)
        assert queues.move("mail").moved == 3
        assert queues.move("mail").moved == 1


def test_a_following_mover_goes_on_by_itself_after_the_old_server_was_away(
    old: RedisBroker, settings: Settings, history: History
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="t"))
    server = OwnServer(folder)
    command = [sys.executable, "-m", "triton", "adopt", "redis", "--from", server.url]
    command += ["--prefix", settings.namespace, "--follow"]
    env = {**os.environ, **settings.environment()}
    try:
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "waits: the old Redis does not answer" in process.stderr.readline()
            server.start()
            broker = RedisBroker(url=server.url, namespace=settings.namespace, middleware=[])
            sent = broker.enqueue(call("late"))
            eventually(lambda: sent.message_id in submitted(history))
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            broker.client.close()
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ("nonsense", 2, "the URL of the old Redis cannot be used"),
        ("redis://127.0.0.1:none/0", 2, "the URL of the old Redis cannot be used"),
        ("redis://127.0.0.1:1/0", 3, "the old Redis does not answer"),
    ],
)
def test_an_old_redis_that_is_none_is_said(
    source: str, status: int, said: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["adopt", "redis", "--from", source])
    assert (result.exit_code, said in result.stderr) == (status, True), result.output
