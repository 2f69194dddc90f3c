"""Tries queues and workers: waiting, emptying, pausing, restarting, fairness, partitions, wake-ups."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq.errors import QueueJoinTimeout, QueueNotFound

from eventually import eventually
from triton import TritonBroker, keys
from triton.events.types import Submitted


def test_join_waits_for_what_waits_is_scheduled_and_runs(
    broker: TritonBroker, run: Run, history: History
) -> None:
    runs = []

    @dramatiq.actor(max_retries=1)
    def work() -> None:
        runs.append(1)
        time.sleep(0.05)
        if len(runs) == 1:
            raise ValueError("again")

    @dramatiq.actor
    def parent() -> None:
        work.send_with_options(delay=30)

    parent.send()
    with run(broker):
        broker.join("default", timeout=30_000)
        assert len(runs) == 2
    assert history.ended() == {"completed": 2}


def test_join_gives_up_after_its_timeout(broker: TritonBroker) -> None:
    @dramatiq.actor
    def work() -> None:
        pass

    broker.join("default", timeout=0)
    work.send_with_options(delay=60_000)
    with pytest.raises(QueueJoinTimeout):
        broker.join("default", timeout=100)
    for call in (broker.join, broker.flush, broker.consume):
        with pytest.raises(QueueNotFound):
            call("unknown")


def test_join_raises_what_a_job_failed_with_where_that_was_wanted(
    make_broker: MakeBroker, run: Run
) -> None:
    broker = make_broker(fail_fast_default=True)

    @dramatiq.actor(max_retries=0)
    def fails() -> None:
        raise KeyError("no")

    @dramatiq.actor(queue_name="other", max_age=1)
    def old() -> None:
        pass

    with run(broker):
        fails.send()
        with pytest.raises(KeyError):
            broker.join("default", timeout=30_000)
        fails.send()
        broker.join("default", timeout=30_000, fail_fast=False)
        broker.join("default", timeout=30_000)
        old.send_with_options(delay=20)
        with pytest.raises(dramatiq.middleware.SkipMessage):
            broker.join("other", timeout=30_000)


def test_flush_cancels_what_has_not_started(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis, namespace: str
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    @dramatiq.actor
    def work() -> None:
        begun.set()
        go_on.wait(60)

    @dramatiq.actor(queue_name="other")
    def elsewhere() -> None:
        pass

    with run(broker, threads=1, queues={"default"}):
        running = work.send()
        assert begun.wait(30)
        waiting = broker.enqueue_many([work.message() for _ in range(450)])
        assert len(waiting) == 450
        delayed = work.send_with_options(delay=60_000)
        kept = elsewhere.send()
        redis_client.zadd(keys.ready(keys.prefix(namespace, 0), "default"), {"no such job": 1})
        broker.flush("default")
        assert broker.count("default") == {"ready": 0, "due": 0, "leases": 1}
        go_on.set()
        broker.join("default", timeout=30_000)
    assert history.types(delayed.message_id) == ["submitted", "cancelled"]
    assert history.types(running.message_id)[-1] == "completed"
    assert history.types(kept.message_id) == ["submitted"]
    assert history.ended() == {"cancelled": 451, "completed": 1}
    broker.flush_all()
    assert history.types(kept.message_id) == ["submitted", "cancelled"]


def test_a_paused_worker_takes_nothing_and_goes_on_when_resumed(
    broker: TritonBroker, run: Run, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)

    @dramatiq.actor
    def work() -> None:
        pass

    with run(broker) as worker:
        work.send()
        broker.join("default", timeout=30_000)
        worker.pause()
        messages = [work.send() for _ in range(10)]
        time.sleep(0.2)
        assert broker.count("default") == {"ready": 10, "due": 0, "leases": 0}
        worker.resume()
        broker.join("default", timeout=30_000)
    assert all(history.types(each.message_id)[-1] == "completed" for each in messages)
    assert "released" not in {e.type.removeprefix("job.") for e in history.events()}


def test_workers_follow_each_other_in_one_process(
    broker: TritonBroker, run: Run, history: History
) -> None:
    before = threading.active_count()

    @dramatiq.actor
    def work() -> None:
        pass

    for _ in range(5):
        with run(broker):
            for _ in range(20):
                work.send()
            broker.join("default", timeout=30_000)
        eventually(lambda: threading.active_count() <= before)
    assert history.ended() == {"completed": 100}
    history.check()


@pytest.mark.one_partition
def test_two_queues_are_served_in_turn(broker: TritonBroker, run: Run, history: History) -> None:
    @dramatiq.actor(queue_name="long")
    def crowd() -> None:
        pass

    @dramatiq.actor(queue_name="short")
    def few() -> None:
        pass

    broker.enqueue_many([crowd.message() for _ in range(400)])
    broker.enqueue_many([few.message() for _ in range(20)])
    with run(broker, threads=2):
        broker.join("short", timeout=30_000)
        broker.join("long", timeout=30_000)
    started = [e.queue for e in history.events() if e.type == "job.started"]
    last = max(i for i, queue in enumerate(started) if queue == "short")
    assert last < 100, f"20 jobs of the short queue were done after {last} starts"


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_jobs_of_all_partitions_run(
    make_broker: MakeBroker, run: Run, history: History, threads: int
) -> None:
    history.partitions = 3
    broker = make_broker(partitions=3)
    ran: Counter[int] = Counter()

    @dramatiq.actor(max_retries=1)
    def work(number: int) -> int:
        ran[number] += 1
        if number % 10 == 0 and ran[number] == 1:
            raise ValueError("again")
        return number

    messages = [work.message(number) for number in range(120)]
    broker.enqueue_many(messages[:60])
    with run(broker, threads=threads):
        for message in messages[60:]:
            broker.enqueue(message)
        broker.join("default", timeout=60_000)
    assert {e.partition for e in history.events()} == {0, 1, 2}
    assert [message.get_result() for message in messages] == list(range(120))
    assert history.ended() == {"completed": 120}
    history.check()


@pytest.mark.usefixtures("told_only")
def test_a_due_time_is_kept_in_every_partition(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    """Also in those that a worker with fewer threads than partitions asks for no job."""
    history.partitions = 8
    broker = make_broker(partitions=8)

    @dramatiq.actor
    def later() -> None:
        pass

    with run(broker, threads=1):
        sent = []
        for _ in range(8):
            eventually(lambda: broker._working.dispatcher()._bell.listening)
            sent.append(later.send_with_options(delay=100))
            broker.join("default", timeout=30_000)
    for message in sent:
        submitted, due, *_ = history.of(message.message_id)
        assert isinstance(submitted.data, Submitted)
        assert due.at >= submitted.data.due


@pytest.mark.usefixtures("told_only")
def test_one_message_wakes_one_idle_worker_at_once(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    first, second = make_broker(), make_broker()

    @dramatiq.actor(broker=first)
    def work() -> None:
        pass

    second.declare_queue("default")
    second.declare_actor(work)
    with run(first), run(second):
        for _ in range(30):
            work.send()
            first.join("default", timeout=30_000, interval=2)
    assert history.ended() == {"completed": 30}


@pytest.mark.usefixtures("told_only")
def test_a_queue_that_comes_later_is_heard_at_once(
    broker: TritonBroker, run: Run, history: History
) -> None:

    @dramatiq.actor
    def first() -> None:
        pass

    with run(broker):
        first.send()
        broker.join("default", timeout=30_000)
        for number in range(4):

            @dramatiq.actor(queue_name=f"late{number}", actor_name=f"late{number}")
            def late() -> None:
                pass

            eventually(lambda: broker._working.dispatcher()._bell.listening)
            late.send()
            broker.join(f"late{number}", timeout=30_000)
    assert history.ended() == {"completed": 5}


def test_a_busy_worker_leaves_the_rest_to_others(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    busy, idle = make_broker(), make_broker()
    go_on = threading.Event()

    @dramatiq.actor(broker=busy)
    def work() -> None:
        go_on.wait(60)

    idle.declare_queue("default")
    idle.declare_actor(work)
    with run(busy, threads=2), run(idle, threads=2):
        busy.enqueue_many([work.message() for _ in range(4)])
        eventually(lambda: busy.count("default")["leases"] == 4)
        go_on.set()
        busy.join("default", timeout=30_000)
    workers = Counter(e.by for e in history.events() if e.type == "job.started")
    assert sorted(workers.values()) == [2, 2]


def test_a_worker_holds_no_more_than_its_threads_or_its_prefetch(
    make_broker: MakeBroker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    broker = make_broker()

    @dramatiq.actor
    def work() -> None:
        go_on.wait(60)

    broker.enqueue_many([work.message() for _ in range(20)])
    monkeypatch.setattr("dramatiq.worker.QUEUE_PREFETCH", 2)
    with run(broker, threads=4):
        eventually(lambda: broker.count("default")["leases"] == 2)
        time.sleep(0.1)
        assert broker.count("default")["leases"] == 2
        go_on.set()
        broker.join("default", timeout=30_000)


def test_a_broker_that_was_used_can_be_forked(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    """As a web server does: the parent sent something and even ran a worker, then it forks."""
    broker = make_broker()
    done = []

    @dramatiq.actor
    def work(who: str) -> None:
        done.append(who)

    work.send("parent")
    with run(broker):
        broker.join("default", timeout=30_000)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work.send("child")
                broker.enqueue_many([work.message("child"), work.message("child")])
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        work.send("parent")
        broker.join("default", timeout=30_000)
    assert Counter(done) == {"parent": 2, "child": 3}
    history.check()


def test_a_forked_child_may_run_a_worker_of_its_own(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker()

    @dramatiq.actor
    def work() -> int:
        return os.getpid()

    with run(broker):
        first = work.send()
        broker.join("default", timeout=30_000)
    second = work.send()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with run(broker):
                broker.join("default", timeout=30_000)
            broker.close()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (first.get_result(), second.get_result()) == (os.getpid(), child)
    workers = {e.by for e in history.events() if e.type == "job.started"}
    assert len(workers) == 2, "each process has a name of its own"
