"""Tries the stock `dramatiq` command: its processes, its signals, and its processes' sudden deaths."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest
from broker_kit import MakeBroker, StartCommand
from broker_log import History
from command import Command
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
    make_broker: MakeBroker,
    start: StartCommand,
    history: History,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = ready(make_broker())
    # Fifteen seconds of work: it is not done before the signal arrives, and the second command hurries.
    broker.enqueue_many(messages(400, seconds=0.3))
    command = start("--processes", "2", "--threads", "4")
    eventually(lambda: len(command.notes()) >= 12, timeout=60)
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(60) == 0
    left = broker.count("default")
    ended = history.ended()
    assert left["leases"] == 0, "nobody has to wait for a lease"
    assert left["ready"] + ended["completed"] == 400
    assert 0 < ended["completed"] < 400
    begun = {note.job for note in command.notes()}
    assert len(begun) == ended["completed"], "what had begun was ended"
    monkeypatch.setenv("PACE", "0")
    second = start("--processes", "2", "--threads", "8")
    broker.join("default", timeout=60_000)
    assert history.ended() == {"completed": 400}
    assert {note.job for note in second.notes()}.isdisjoint(begun)
    history.check()


def test_sighup_starts_new_processes_and_goes_on(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = ready(make_broker())
    command = start("--processes", "2", "--threads", "2")
    sent = 0
    before: set[int] = set()

    def both_work() -> set[int]:
        """The two processes that are new; the quicker one may take all of the first."""
        nonlocal sent
        sent += 8
        broker.enqueue_many(messages(8, seconds=0.05))
        broker.join("default", timeout=30_000)
        found = {note.pid for note in command.notes()} - before
        assert len(found) == 2, command.log()
        return found

    before = eventually(both_work, timeout=60)
    broker.enqueue_many(messages(20, seconds=0.2))
    command.process.send_signal(signal.SIGHUP)
    broker.join("default", timeout=30_000)
    eventually(both_work, timeout=60)
    assert command.process.poll() is None
    command.process.send_signal(signal.SIGTERM)
    assert command.process.wait(60) == 0
    assert history.ended() == {"completed": 20 + sent}
    history.check()


def test_every_job_ends_once_whatever_processes_are_killed(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    """300 jobs on three commands; whoever is at work is killed now and then."""
    broker = ready(make_broker())
    commands = [
        start("--processes", "1", "--threads", "4", lease_ms=1500, max_deaths=20) for _ in range(3)
    ]
    chance = random.Random(20)
    sent = messages(240, seconds=0.05) + messages(60, seconds=0.02, fails=True)
    chance.shuffle(sent)
    given = 0

    def at_work() -> list[Command]:
        """Who runs a job; anybody, where all that were sent have ended already."""
        for command in commands:
            command.keep_alive()
        running = [command for command in commands if command.busy()]
        return running or (commands if history.ended().total() == given else [])

    for begin in range(0, 280, 35):
        # Some of them for each kill, so that there is work to be killed.
        broker.enqueue_many(sent[begin : begin + 35])
        given += 35
        chance.choice(eventually(at_work, timeout=60)).kill()
    broker.enqueue_many(sent[given:])

    def done() -> bool:
        for command in commands:
            command.keep_alive()
        return history.ended().total() == 300

    eventually(done, timeout=120, interval=0.1)
    assert history.ended() == {"completed": 300}
    history.check()
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
    command = start("--processes", "1", "--threads", "2", lease_ms=3000, max_deaths=1)

    def ended() -> bool:
        command.keep_alive()
        return history.types(poison.message_id)[-1] == "failed"

    eventually(ended, timeout=90, interval=0.1)
    assert history.types(poison.message_id) == [
        *("submitted", "started", "lease_lost", "started", "lease_lost", "failed")
    ]
    failed = history.of(poison.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert failed.reason == "died"
    assert "2 leases lost" in failed.error.message
    (good,) = messages(1, seconds=0.01)
    broker.enqueue(good)
    eventually(lambda: history.types(good.message_id)[-1:] == ["completed"], timeout=60)
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
    assert command.process.wait(60) != 0
    assert history.types(poison.message_id)[:2] == ["submitted", "started"]
