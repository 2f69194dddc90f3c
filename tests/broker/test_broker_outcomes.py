"""Tries how attempts end: retries, refusals, what follows from an outcome, and late interrupts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import Message, group, pipeline
from dramatiq.middleware import GroupCallbacks, Middleware
from dramatiq.middleware.shutdown import Shutdown
from dramatiq.middleware.threading import raise_thread_exception
from dramatiq.middleware.time_limit import TimeLimit, TimeLimitExceeded
from dramatiq.rate_limits.backends import RedisBackend as RateLimits
from dramatiq.results import Results

from eventually import eventually
from triton import TritonBroker, current_job
from triton.events.types import Failed, RetryScheduled, Submitted
from triton.stack.engines import Engines

Stock = Callable[[], list[Middleware]]


def test_each_failure_is_one_retry_and_the_last_one_ends_the_job(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor(max_retries=2, min_backoff=30, max_backoff=60)
    def fails() -> None:
        raise ValueError("no")

    message = fails.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == [
        "submitted",
        *("started", "retry_scheduled", "due") * 2,
        *("started", "failed"),
    ]
    for event in history.of(message.message_id):
        if isinstance(event.data, RetryScheduled):
            assert 7_000 <= event.data.due - event.at <= 60_000
    failed = history.of(message.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.error.type, failed.error.message) == ("error", "ValueError", "no")
    assert "in fails" in failed.error.traceback
    history.check()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"throws": (KeyError,)}, KeyError), ({"max_retries": 0}, ValueError)],
    ids=["throws", "no-retries"],
)
def test_an_error_that_is_not_retried_ends_the_job(
    broker: TritonBroker,
    run: Run,
    history: History,
    options: dict[str, Any],
    error: type[Exception],
) -> None:
    @dramatiq.actor(**options)
    def fails() -> None:
        raise error("no")

    message = fails.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "started", "failed"]


def test_without_the_retries_middleware_a_failure_is_a_failure(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker(middleware=[])

    @dramatiq.actor
    def fails() -> None:
        raise ValueError("no")

    message = fails.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "started", "failed"]


@pytest.mark.one_partition
def test_exhausted_retries_and_callbacks_are_told_once(
    broker: TritonBroker, run: Run, history: History
) -> None:
    told: list[tuple[str, object]] = []

    @dramatiq.actor
    def exhausted(data: dict[str, Any], retries: dict[str, int]) -> None:
        told.append(("exhausted", retries["retries"]))

    @dramatiq.actor
    def succeeded(data: dict[str, Any], result: object) -> None:
        told.append(("succeeded", result))

    @dramatiq.actor
    def failed(data: dict[str, Any], error: dict[str, str]) -> None:
        told.append(("failed", error["type"]))

    @dramatiq.actor(
        max_retries=1, on_retry_exhausted="exhausted", on_success="succeeded", on_failure="failed"
    )
    def work(result: str) -> str:
        if result == "":
            raise ValueError(result)
        return result

    bad, good = work.send(""), work.send("fine")
    with run(broker):
        broker.join("default", timeout=30_000)
    # Dramatiq tells of each failed attempt.
    assert Counter(told) == {
        ("exhausted", 1): 1,
        ("succeeded", "fine"): 1,
        ("failed", "ValueError"): 2,
    }
    follows = [event for event in history.events() if event.causation]
    assert {event.causation for event in follows} == {
        f"job:{bad.message_id}",
        f"job:{good.message_id}",
    }
    events = history.events()
    completed = next(e for e in events if e.job == good.message_id and e.type == "job.completed")
    after = events[completed.position]
    assert (after.type, after.causation) == ("job.submitted", f"job:{good.message_id}")
    assert after.at == completed.at, "the callback was submitted in the same step"
    history.check()


@pytest.mark.parametrize("partitions", [1, 3])
def test_what_hooks_send_is_sent_once_whatever_the_partition(
    make_broker: MakeBroker, run: Run, history: History, partitions: int
) -> None:
    history.partitions = partitions
    told: list[int] = []

    class Many(Middleware):
        """Sends five messages from each hook that runs after the actor."""

        def after_process_message(
            self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            self.send(message, 0)

        def before_ack(self, broker: Any, message: Any) -> None:
            self.send(message, 5)

        def after_ack(self, broker: Any, message: Any) -> None:
            self.send(message, 10)

        def send(self, message: Any, first: int) -> None:
            if message.actor_name == "work":
                tell.send(first)
                broker.enqueue_many([tell.message(first + number) for number in range(1, 5)])

    broker = make_broker(partitions=partitions)
    broker.add_middleware(Many())

    @dramatiq.actor
    def tell(number: int) -> None:
        told.append(number)

    @dramatiq.actor
    def work() -> None:
        pass

    work.send()
    with run(broker):
        eventually(lambda: len(told) >= 15)
        broker.join("default", timeout=30_000)
    assert sorted(told) == list(range(15))
    history.check()


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_pipeline_hands_results_on_in_one_step(
    make_broker: MakeBroker, run: Run, history: History, partitions: int
) -> None:
    history.partitions = partitions
    broker = make_broker(partitions=partitions)

    @dramatiq.actor
    def add(x: int, y: int) -> int:
        return x + y

    chain = add.message(1, 2) | add.message(3) | add.message_with_options(args=(4,), delay=50)
    with run(broker):
        chain.run()
        assert chain.get_result(block=True, timeout=30_000) == 10
        assert [*chain.get_results()] == [3, 6, 10]
        assert chain.completed
        broker.join("default", timeout=30_000)
    for message in chain.messages:
        assert history.types(message.message_id)[-1] == "completed"
    for earlier, later in zip(chain.messages, chain.messages[1:], strict=False):
        assert history.of(later.message_id)[0].causation == f"job:{earlier.message_id}"
    history.check()


@pytest.mark.one_server
def test_a_group_calls_back_once_when_all_are_done(
    make_broker: MakeBroker, run: Run, engines: Engines, history: History
) -> None:
    broker = make_broker()
    broker.add_middleware(GroupCallbacks(RateLimits(url=engines.redis_url)))
    done: list[int] = []

    @dramatiq.actor
    def square(x: int) -> int:
        return x * x

    @dramatiq.actor
    def finished(number: int) -> None:
        done.append(number)

    squares = group(square.message(number) for number in range(8))
    callback = finished.message(7)
    squares.add_completion_callback(callback)
    with run(broker):
        squares.run()
        assert list(squares.get_results(block=True, timeout=30_000)) == [x * x for x in range(8)]
        eventually(lambda: done)
        broker.join("default", timeout=30_000)
    assert done == [7]
    assert history.types(callback.message_id) == ["submitted", "started", "completed"]


@pytest.mark.one_server
def test_a_group_over_partitions_keeps_its_callbacks_id(
    make_broker: MakeBroker, run: Run, engines: Engines, history: History
) -> None:
    history.partitions = 3
    broker = make_broker(partitions=3)
    broker.add_middleware(GroupCallbacks(RateLimits(url=engines.redis_url)))

    @dramatiq.actor
    def work() -> None:
        pass

    callbacks = [work.message() for _ in range(4)]
    workers = group([work.message(), work.message()])
    for callback in callbacks:
        workers.add_completion_callback(callback)
    workers.run()
    with run(broker):
        for callback in callbacks:
            eventually(lambda job=callback.message_id: "completed" in history.types(job))
    history.check()


def test_a_message_that_is_too_old_is_rejected(
    broker: TritonBroker, run: Run, history: History
) -> None:
    ran = []

    @dramatiq.actor(max_age=600_000)
    def work() -> None:
        ran.append(1)

    old = work.message()
    object.__setattr__(old, "message_timestamp", old.message_timestamp - 601_000)
    broker.enqueue(old)
    fresh = work.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(old.message_id) == ["submitted", "started", "failed"]
    failed = history.of(old.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.error.message) == ("rejected", "Message age limit exceeded")
    assert history.types(fresh.message_id)[-1] == "completed"
    assert ran == [1]


def test_a_time_limit_fails_the_attempt(
    make_broker: MakeBroker, run: Run, history: History, stock_middleware: Stock
) -> None:
    stock = [m for m in stock_middleware() if not isinstance(m, TimeLimit)]
    broker = make_broker(middleware=[TimeLimit(interval=20), *stock])

    @dramatiq.actor(time_limit=100, max_retries=0)
    def endless() -> None:
        while True:
            time.sleep(0.005)

    message = endless.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    failed = history.of(message.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert failed.error.type == "TimeLimitExceeded"


def test_a_shutdown_notification_is_a_failure_that_is_retried(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()
    running = threading.Event()
    seen = []

    @dramatiq.actor(notify_shutdown=True, max_retries=1, min_backoff=60_000, max_backoff=90_000)
    def endless() -> None:
        running.set()
        try:
            while True:
                time.sleep(0.005)
        except Shutdown:
            seen.append("shutdown")
            raise

    message = endless.send()
    with run(broker):
        assert running.wait(30)
    assert seen == ["shutdown"]
    assert history.types(message.message_id) == ["submitted", "started", "retry_scheduled"]


@pytest.mark.parametrize("raises", [False, True], ids=["returned", "raised"])
def test_an_interrupt_that_comes_after_the_actor_changes_nothing(
    make_broker: MakeBroker, run: Run, history: History, raises: bool
) -> None:
    """A time limit that ends while hooks run: the outcome stays, and each follow-up is sent once."""
    hooks: Counter[str] = Counter()
    told: list[str] = []

    class Slow(Middleware):
        """Is interrupted in the middle, after it sent something."""

        def after_process_message(
            self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
        ) -> None:
            if message.actor_name != "work":
                return
            hooks[type(exception).__name__] += 1
            tell.send("slow")
            if hooks.total() == 1:
                raise_thread_exception(threading.get_ident(), TimeLimitExceeded)
                for _ in range(100):
                    time.sleep(0.001)

    broker = make_broker()
    broker.add_middleware(Slow())

    @dramatiq.actor
    def tell(who: str) -> None:
        told.append(who)

    @dramatiq.actor
    def called(*_: object) -> None:
        told.append("callback")

    @dramatiq.actor(max_retries=0, on_success="called", on_failure="called")
    def work() -> None:
        if raises:
            raise ValueError("no")

    message = work.send()
    with run(broker, threads=1):
        broker.join("default", timeout=30_000)
        work.send()
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id)[-1] == ("failed" if raises else "completed")
    assert set(hooks) == {"ValueError" if raises else "NoneType"}
    assert Counter(told) == {"slow": 2, "callback": 2}, "the worker's thread lives on"


def test_results_are_read_from_heads(broker: TritonBroker, run: Run) -> None:
    @dramatiq.actor(max_retries=0)
    def work(what: str) -> object:
        if what == "fail":
            raise ValueError("no")
        return {"lock": threading.Lock()} if what == "odd" else [1, {"a": None}]

    waiting = work.message("good")
    with pytest.raises(dramatiq.results.ResultMissing):
        waiting.get_result()
    with pytest.raises(dramatiq.results.ResultTimeout):
        waiting.get_result(block=True, timeout=30)
    good, bad, odd = work.send("good"), work.send("fail"), work.send("odd")
    with run(broker):
        assert good.get_result(block=True, timeout=30_000) == [1, {"a": None}]
        with pytest.raises(dramatiq.results.ResultFailure, match="actor raised ValueError: no"):
            bad.get_result(block=True, timeout=30_000)
        with pytest.raises(dramatiq.results.ResultMissing, match="is no plain data"):
            odd.get_result(block=True, timeout=30_000)


@pytest.mark.one_server
def test_a_users_own_results_take_the_place_of_ours(
    broker: TritonBroker, run: Run, engines: Engines
) -> None:
    from dramatiq.results.backends import RedisBackend

    backend = RedisBackend(url=engines.redis_url)
    broker.add_middleware(Results(backend=backend))
    assert broker.get_results_backend() is backend
    assert sum(isinstance(each, Results) for each in broker.middleware) == 1

    @dramatiq.actor(store_results=True, max_retries=0)
    def work(fails: bool) -> str:
        if fails:
            raise ValueError("no")
        return "theirs"

    good, bad = work.send(fails=False), work.send(fails=True)
    with run(broker):
        assert good.get_result(block=True, timeout=30_000) == "theirs"
        with pytest.raises(dramatiq.results.ResultFailure, match="actor raised ValueError: no"):
            bad.get_result(block=True, timeout=30_000)


def test_asyncio_actors_have_their_own_current_job(
    make_broker: MakeBroker, run: Run, history: History, stock_middleware: Stock
) -> None:
    import asyncio

    from dramatiq.middleware import AsyncIO

    broker = make_broker()
    broker.add_middleware(AsyncIO())
    seen = {}

    @dramatiq.actor
    async def work(number: int) -> int:
        await asyncio.sleep(0.02)
        job = current_job()
        seen[number] = job.id
        job.progress(50, "half")
        if number == 0 and job.attempt == 1:
            raise ValueError("once")
        return number

    messages = [work.send(number) for number in range(4)]
    with run(broker):
        broker.join("default", timeout=30_000)
    assert seen == {n: message.message_id for n, message in enumerate(messages)}
    assert history.types(messages[1].message_id) == [
        *("submitted", "started", "progressed", "completed")
    ]
    assert history.types(messages[0].message_id).count("retry_scheduled") == 1


def test_the_retry_carries_what_middleware_noted(
    broker: TritonBroker, run: Run, history: History
) -> None:
    seen = []

    class Note(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            seen.append(dict(message.options))
            message.options["noted"] = len(seen)

    broker.add_middleware(Note())

    @dramatiq.actor(max_retries=1)
    def fails() -> None:
        raise ValueError("no")

    message = fails.send_with_options(trace="t1")
    with run(broker):
        broker.join("default", timeout=30_000)
    assert seen[0] == {"trace": "t1"}
    assert (seen[1]["trace"], seen[1]["noted"], seen[1]["retries"]) == ("t1", 1, 1)
    submitted = history.of(message.message_id)[0].data
    assert isinstance(submitted, Submitted)
    assert Message.decode(submitted.body).options == {"trace": "t1"}


def test_a_pipeline_of_one_failed_job_goes_no_further(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor(max_retries=0)
    def work(*_: object) -> None:
        raise ValueError("no")

    chain = pipeline([work.message(), work.message()]).run()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(chain.messages[1].message_id) == []
