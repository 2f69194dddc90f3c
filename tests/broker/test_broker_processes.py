"""Tries the stock `dramatiq` command: its processes, its signals, and its processes' sudden deaths."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

from broker_kit import MakeBroker, StartCommand
from broker_log import History
from dramatiq import Message

from eventually import eventually
from triton import TritonBroker
from triton.events.types import Failed


def messages(count: int, actor: str = "work", **kwargs: object) -> list[Message[str]]:
    return [Message("default", actor, (), kwargs, {}) for _ in range(count)]


def ready(broker: TritonBroker) -> TritonBroker:
    broker.declare_queue("default")
    return broker


def test_sigterm_drains_and_gives_the_rest_back_at_once(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    broker.enqueue_many(messages(40, seconds=0.3))
    command = start("--processes", "2", "--threads", "4")
    eventually(lambda: len(command.notes()) >= 12, timeout=20)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(10) == 0
    left = broker.count("default")
    ended = history.ended()
    assert left["leases"] == 0, "nobody has to wait for a lease"
    assert left["ready"] + ended["completed"] == 40
    assert 0 < ended["completed"] < 40
    begun = {note.job for note in command.notes()}
    assert len(begun) == ended["completed"], "what had begun was ended"
    second = start("--processes", "2", "--threads", "8")
    broker.join("default", timeout=30_000)
    assert history.ended() == {"completed": 40}
    assert {note.job for note in second.notes()}.isdisjoint(begun)
    history.check()


def test_sighup_starts_new_processes_and_goes_on(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    command = start("--processes", "2", "--threads", "2")
    rounds = 0
    before: set[int] = set()
    while len(before) < 2:
        # The quicker process may take all of the first.
        assert (rounds := rounds + 1) < 20, command.log()
        broker.enqueue_many(messages(8, seconds=0.05))
        broker.join("default", timeout=20_000)
        before = {note.pid for note in command.notes()}
    broker.enqueue_many(messages(20, seconds=0.2))
    command.process.send_signal(signal.SIGHUP)
    broker.join("default", timeout=30_000)
    broker.enqueue_many(messages(20, seconds=0.05))
    broker.join("default", timeout=30_000)
    after = {note.pid for note in command.notes()} - before
    assert len(after) == 2, command.log()
    assert command.process.poll() is None
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(10) == 0
    assert history.ended() == {"completed": 40 + 8 * rounds}
    history.check()


def test_every_job_ends_once_whatever_processes_are_killed(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    """300 jobs on three commands; one of them is killed every third of a second or so."""
    broker = ready(make_broker())
    commands = [
        start("--processes", "1", "--threads", "4", lease_ms=1500, max_deaths=20) for _ in range(3)
    ]
    chance = random.Random(20)
    sent = messages(240, seconds=0.05) + messages(60, seconds=0.02, fails=True)
    chance.shuffle(sent)
    for begin in range(0, 300, 50):
        broker.enqueue_many(sent[begin : begin + 50])
    kills = 0
    deadline = time.monotonic() + 60
    while history.ended().total() < 300:
        assert time.monotonic() < deadline, history.ended()
        for command in commands:
            command.keep_alive()
        time.sleep(chance.uniform(0.2, 0.5))
        victim = chance.choice(commands)
        if kills < 8 and victim.notes():
            victim.kill()
            kills += 1
    assert history.ended() == {"completed": 300}
    history.check()
    assert kills >= 5, "the jobs were done too soon: little was tried"
    kinds = Counter(event.type for event in history.events())
    assert kinds["job.lease_lost"] > 0
    begun = Counter(
        (note.job, note.attempt)
        for command in commands
        for note in command.notes()
        if note.word == "begin"
    )
    assert max(begun.values()) == 1, "one lease, one run"
    ended = {(n.job, n.attempt) for c in commands for n in c.notes() if n.word == "end"}
    completed = {(e.job, e.attempt) for e in history.events() if e.type == "job.completed"}
    assert completed <= ended, "no outcome without the run behind it"


def test_a_job_that_kills_its_worker_each_time_ends_as_died(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    (poison,) = messages(1, actor="suicide")
    broker.enqueue(poison)
    command = start("--processes", "1", "--threads", "2", lease_ms=1000, max_deaths=1)

    def ended() -> bool:
        command.keep_alive()
        return history.types(poison.message_id)[-1] == "failed"

    eventually(ended, timeout=30, interval=0.1)
    assert history.types(poison.message_id) == [
        *("submitted", "started", "lease_lost", "started", "lease_lost", "failed")
    ]
    failed = history.of(poison.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert failed.reason == "died"
    assert "2 leases lost" in failed.error.message
    (good,) = messages(1, seconds=0.01)
    broker.enqueue(good)
    eventually(lambda: history.types(good.message_id)[-1:] == ["completed"], timeout=20)
    assert [note.word for note in command.notes() if note.job == poison.message_id] == ["begin"] * 2
    history.check()


def test_a_job_that_kills_at_once_does_not_hang_the_command(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    """A process that dies while it tells the command that it is up leaves it waiting for ever."""
    broker = ready(make_broker())
    (poison,) = messages(1, actor="suicide")
    broker.enqueue(poison)
    command = start("--processes", "1", "--threads", "1", app="slow_boot_app")
    assert command.process.wait(30) != 0
    assert history.types(poison.message_id)[:2] == ["submitted", "started"]
