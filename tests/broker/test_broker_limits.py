"""Tries time limits: the soft one, the hard one, and the end of attempts that no interrupt reaches."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import dramatiq
import pytest
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq.middleware import Callbacks, Middleware, Retries, TimeLimit, TimeLimitExceeded

from eventually import eventually
from triton import SoftTimeLimit, TimeLimits, TritonBroker
from triton.events.types import Completed, Failed, RetryScheduled

NOT_LIMITED = float("inf")


def limits(**limits: float) -> TimeLimits:
    """The clock is looked at every 10 ms."""
    return TimeLimits(**limits, interval=10)  # type: ignore[arg-type]


def limited(make_broker: MakeBroker, own: TimeLimits) -> TritonBroker:
    return make_broker(middleware=[own, Callbacks(), Retries(min_backoff=10, max_backoff=20)])


def endless() -> None:
    while True:
        time.sleep(0.002)


def error_of(history: History, job: str) -> tuple[str, str]:
    """The reason and the error's type of a job that failed."""
    failed = history.of(job)[-1].data
    assert isinstance(failed, Failed)
    return failed.reason, failed.error.type


def test_a_soft_limit_lets_the_actor_clean_up(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = limited(make_broker, limits(soft_time_limit=50))

    @dramatiq.actor
    def work() -> str:
        try:
            endless()
        except SoftTimeLimit:
            return "half of it"
        return ""

    message = work.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.of(message.message_id)[-1].data == Completed(result="half of it")


def test_limits_end_attempts_and_are_retried_as_any_error(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = limited(make_broker, limits(soft_time_limit=100, grace=NOT_LIMITED))

    @dramatiq.actor(max_retries=1)
    def soft() -> None:
        endless()

    @dramatiq.actor(max_retries=0, time_limit=1_000, soft_time_limit=100)
    def hard() -> None:
        try:
            endless()
        except SoftTimeLimit:
            endless()

    messages = [soft.send(), hard.send()]
    with run(broker):
        broker.join("default", timeout=30_000)
    assert error_of(history, messages[0].message_id) == ("time_limit", "SoftTimeLimit")
    assert error_of(history, messages[1].message_id) == ("time_limit", "TimeLimitExceeded")
    assert history.types(messages[0].message_id).count("retry_scheduled") == 1


@pytest.mark.parametrize(
    ("options", "actor", "expected"),
    [
        ({}, {}, (120_000, 100_000)),
        ({}, {"time_limit": 300_000}, (300_000, NOT_LIMITED)),
        ({"time_limit": 50_000}, {"time_limit": 300_000}, (50_000, NOT_LIMITED)),
        ({"soft_time_limit": 10}, {"time_limit": 20, "soft_time_limit": 15}, (20, 10)),
        ({"time_limit": 90_000}, {"soft_time_limit": 80_000}, (90_000, 80_000)),
        ({"soft_time_limit": 130_000}, {}, (120_000, NOT_LIMITED)),
        ({}, {"time_limit": NOT_LIMITED}, (NOT_LIMITED, NOT_LIMITED)),
    ],
)
def test_what_an_actor_or_a_submit_says_wins(
    options: dict[str, float], actor: dict[str, float], expected: tuple[float, float]
) -> None:
    assert TimeLimits().limits_of(options, actor) == expected


def test_an_own_time_limit_takes_the_place_of_ours(make_broker: MakeBroker) -> None:
    broker = make_broker()
    (ours,) = [each for each in broker.middleware if isinstance(each, TimeLimit)]
    assert isinstance(ours, TimeLimits)
    assert (ours.time_limit, ours.soft_time_limit) == (120_000, 100_000)
    own = TimeLimit(time_limit=5)
    broker.add_middleware(own)
    assert [each for each in broker.middleware if isinstance(each, TimeLimit)] == [own]


class CCode:
    """Blocks where no interrupt arrives, until it is let go; other threads run on."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def wait(self) -> None:
        ctypes.CDLL(None).read(self._reading, ctypes.create_string_buffer(1), 1)

    def let_go(self) -> None:
        os.write(self._writing, b"x")

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture
def c_code() -> Iterator[CCode]:
    made = CCode()
    yield made
    made.close()


@pytest.fixture
def untraced() -> Iterator[None]:
    """New threads run without a tracer, coverage's too.

    While an interrupt waits for a thread that is in C code, CPython 3.11 goes round for ever at the first
    traced function that any other thread enters (the evaluation loop looks at the breaker before it has
    moved on, and stays there).
    """
    here, new = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    yield
    threading.settrace(new)  # type: ignore[arg-type]
    sys.settrace(here)


class Noting(Middleware):
    """Notes each hook that speaks of a job's end."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def after_process_message(self, broker: object, message: object, **outcome: object) -> None:
        self._seen.append(type(outcome.get("exception")).__name__)

    def after_ack(self, broker: object, message: object) -> None:
        self._seen.append("ack")

    def after_nack(self, broker: object, message: object) -> None:
        self._seen.append("nack")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("retries", [0, 1])
def test_an_attempt_that_no_interrupt_reaches_is_given_up(
    make_broker: MakeBroker, run: Run, history: History, c_code: CCode, retries: int
) -> None:
    """Its thread is replaced, its outcome is told once, and what it says when it comes back is nothing."""
    # So long that the actor is in C code by then where the machine stands still for a moment.
    own = limits(time_limit=1_000, grace=40)
    broker = limited(make_broker, own)
    seen: list[str] = []
    broker.add_middleware(Noting(seen))
    begun, back, told = [], threading.Event(), []

    @dramatiq.actor(max_retries=3)
    def callback(*_: object) -> None:
        told.append(1)

    @dramatiq.actor(max_retries=retries, on_failure="callback")
    def stuck() -> str:
        begun.append(threading.get_ident())
        # For the next attempt and the callback, which must not be late on a slow machine.
        own.time_limit = 60_000
        try:
            if len(begun) == 1:
                c_code.wait()
            return "late"
        finally:
            if threading.get_ident() == begun[0]:
                back.set()

    message = stuck.send()
    with run(broker, threads=1) as worker:
        broker.join("default", timeout=30_000)
        assert not back.is_set(), "nobody waited for it"
        eventually(lambda: told)
        c_code.let_go()
        assert back.wait(30)
        eventually(lambda: begun[0] not in {each.ident for each in threading.enumerate()})
        eventually(lambda: [thread.is_alive() for thread in worker.workers] == [True])
    kinds = history.types(message.message_id)
    if retries:
        assert kinds == ["submitted", "started", "retry_scheduled", "due", "started", "completed"]
        scheduled = history.of(message.message_id)[2].data
        assert isinstance(scheduled, RetryScheduled)
        assert scheduled.error.type == "TimeLimitExceeded"
    else:
        assert error_of(history, message.message_id) == ("time_limit", "TimeLimitExceeded")
    assert told == [1]
    assert seen.count("TimeLimitExceeded") == 1
    assert seen.count("nack") + seen.count("ack") == len(told) + 1 + retries
    history.check()


@pytest.mark.usefixtures("untraced")
def test_a_stopping_worker_does_not_start_another_thread(
    make_broker: MakeBroker, run: Run, history: History, c_code: CCode
) -> None:
    broker = limited(make_broker, limits(time_limit=1_000, grace=40))
    begun = threading.Event()

    @dramatiq.actor(max_retries=0)
    def stuck() -> None:
        begun.set()
        c_code.wait()

    message = stuck.send()
    before = threading.active_count()

    def let_go_when_given_up() -> None:
        eventually(lambda: history.types(message.message_id)[-1] == "failed")
        c_code.let_go()

    with run(broker, threads=1):
        assert begun.wait(30)
        threading.Thread(target=let_go_when_given_up).start()
    assert error_of(history, message.message_id) == ("time_limit", "TimeLimitExceeded")
    eventually(lambda: threading.active_count() <= before)


def test_a_limit_that_comes_as_the_actor_ends_is_too_late(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = limited(make_broker, limits(time_limit=30, grace=30))

    def ends(seconds: float) -> Callable[[], None]:
        return lambda: time.sleep(seconds)

    @dramatiq.actor(max_retries=0)
    def work(number: int) -> None:
        ends(0.02 + number * 0.001)()

    messages = [work.send(number) for number in range(40)]
    with run(broker, threads=4) as worker:
        broker.join("default", timeout=30_000)
        eventually(lambda: [thread.is_alive() for thread in worker.workers] == [True] * 4)
    ended = {history.types(message.message_id)[-1] for message in messages}
    assert ended <= {"completed", "failed"}
    assert TimeLimitExceeded.__name__ in {
        error_of(history, m.message_id)[1]
        for m in messages
        if history.types(m.message_id)[-1] == "failed"
    }
    history.check()
