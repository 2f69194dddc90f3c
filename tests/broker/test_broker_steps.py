"""Tries durable steps: recorded once, given to later attempts, whatever ended the one before."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run, StartCommand
from broker_log import History
from dramatiq import Message
from dramatiq.middleware import AsyncIO
from dramatiq.results import ResultFailure

import triton
from eventually import eventually
from triton import Snooze, TritonBroker, current_job, keys
from triton.errors import StepError
from triton.events.types import StepCompleted


def fail_once() -> None:
    if current_job().attempt == 1:
        raise ValueError("once")


def snooze_once() -> None:
    if current_job().attempt == 1:
        raise Snooze(10)


@pytest.mark.parametrize("ends", [fail_once, snooze_once])
def test_a_later_attempt_gets_what_was_recorded(
    broker: TritonBroker, run: Run, history: History, ends: Callable[[], None]
) -> None:
    ran: Counter[str] = Counter()
    seen: list[Any] = []

    def load(key: str, *, times: int) -> Any:
        ran[key] += 1
        return (key, {"times": times, "nothing": None})

    @dramatiq.actor
    def work() -> str:
        seen.append(triton.step("load a", load, "a", times=2))
        ends()
        seen.append(current_job().step("load b", load, "b", times=3))
        return "done"

    message = work.send()
    with run(broker):
        assert message.get_result(block=True, timeout=30_000) == "done"
    assert ran == {"a": 1, "b": 1}
    assert seen == [["a", {"times": 2, "nothing": None}]] * 2 + [
        ["b", {"times": 3, "nothing": None}]
    ]
    steps = [e.data for e in history.of(message.message_id) if isinstance(e.data, StepCompleted)]
    assert [(step.name, step.result) for step in steps] == [
        ("load a", seen[0]),
        ("load b", seen[2]),
    ]
    history.check()


@pytest.mark.one_partition
def test_a_step_is_in_the_log_before_the_actor_goes_on(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis, namespace: str
) -> None:
    seen = []

    @dramatiq.actor
    def work() -> None:
        job = current_job()
        job.output("before")
        assert job.step("one", lambda: None) is None
        seen.extend(history.types(job.id))

    message = work.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert seen == ["submitted", "started", "output", "step_completed"]
    assert history.types(message.message_id)[-1] == "completed"
    assert not redis_client.exists(keys.steps(keys.prefix(namespace, 0), message.message_id))


def test_an_asynchronous_actor_has_steps_too(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()
    broker.add_middleware(AsyncIO())
    ran: Counter[int] = Counter()

    async def fetch(number: int) -> int:
        await asyncio.sleep(0.001)
        ran[number] += 1
        return number * 2

    @dramatiq.actor
    async def work() -> int:
        first, second = await asyncio.gather(
            triton.astep("one", fetch, 1), triton.astep("two", fetch, 2)
        )
        fail_once()
        return first + second + await current_job().astep("three", fetch, 3)

    message = work.send()
    with run(broker):
        assert message.get_result(block=True, timeout=30_000) == 12
    assert ran == {1: 1, 2: 1, 3: 1}
    assert history.types(message.message_id).count("step_completed") == 3


async def _nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([("one", lambda: 1), ("one", lambda: 2)], "the step 'one' runs twice in one attempt"),
        (
            [("lock", threading.Lock)],
            "the step 'lock' returned a value of type lock that is no plain",
        ),
        ([("big", lambda: "x" * 70_000)], "the step 'big' returned 70022 bytes, at most 65536 are"),
        ([("", lambda: 1)], "a step's name is '', expected 1 to 200 printable characters"),
        ([("later", _nothing)], "the step 'later' is asynchronous: write `await triton.astep"),
    ],
    ids=["twice", "no-plain-data", "too-large", "no-name", "asynchronous"],
)
def test_what_cannot_be_recorded_is_a_clear_error(
    broker: TritonBroker, run: Run, steps: list[tuple[str, Callable[[], Any]]], error: str
) -> None:
    @dramatiq.actor(throws=StepError)
    def work() -> None:
        for name, fn in steps:
            triton.step(name, fn)

    message = work.send()
    with run(broker), pytest.raises(ResultFailure, match=error):
        message.get_result(block=True, timeout=30_000)


def test_a_step_that_failed_may_be_tried_again(broker: TritonBroker, run: Run) -> None:
    calls = []

    def flaky() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")
        return len(calls)

    @dramatiq.actor(max_retries=0)
    def work() -> int:
        try:
            return triton.step("flaky", flaky)
        except ValueError:
            return triton.step("flaky", flaky)

    message = work.send()
    with run(broker):
        assert message.get_result(block=True, timeout=30_000) == 2


@pytest.mark.one_partition
def test_a_worker_without_its_lease_records_no_step(
    make_broker: MakeBroker, run: Run, history: History, redis_client: redis.Redis, namespace: str
) -> None:
    broker = make_broker(lease_ms=60_000)
    go_on, begun, seen = threading.Event(), threading.Event(), []

    @dramatiq.actor
    def work() -> str:
        if current_job().attempt > 1:
            return triton.step("who", lambda: "second")
        begun.set()
        go_on.wait(60)
        try:
            return triton.step("who", lambda: "first")
        except triton.LeaseLost:
            seen.append("lost")
            raise

    message = work.send()
    with run(broker):
        assert begun.wait(30)
        leases = keys.leases(keys.prefix(namespace, 0), "default")
        redis_client.zadd(leases, {message.message_id: 1})
        with run(make_broker()):
            assert message.get_result(block=True, timeout=30_000) == "second"
        go_on.set()
        eventually(lambda: seen)
    steps = [e for e in history.of(message.message_id) if isinstance(e.data, StepCompleted)]
    assert [(e.attempt, e.data.result) for e in steps] == [(2, "second")]
    history.check()


def test_steps_survive_kill_9_between_them(
    make_broker: MakeBroker, start: StartCommand, history: History
) -> None:
    broker = make_broker()
    broker.declare_queue("default")
    message: Message[Any] = Message("default", "in_steps", (3,), {}, {})
    broker.enqueue(message)
    command = start("--processes", "1", "--threads", "1", lease_ms=3000, max_deaths=10)

    def ended() -> bool:
        command.keep_alive()
        return history.types(message.message_id)[-1] == "completed"

    eventually(ended, timeout=120, interval=0.1)
    assert message.get_result() == [0, 10, 20]
    # Each step ran once, although an attempt was killed right after it.
    assert [note.word for note in command.notes()] == ["step-0", "step-1", "step-2"]
    assert history.types(message.message_id).count("lease_lost") >= 3
    history.check()
