"""Tries leases: cancelling what runs and what waits, leases that are lost, and the fence of an attempt."""

from __future__ import annotations

import logging
import threading
import time

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from eventually import eventually
from triton import (
    CancelRequested,
    LeaseLost,
    Snooze,
    TritonBroker,
    TritonResultBackend,
    current_job,
    keys,
)
from triton.broker.proxy import JobProxy
from triton.events.client import send
from triton.events.scripts import Claimed, Scripts
from triton.events.types import Cancelled, Failed, Released
from triton.submit import message_for


class Log:
    """Speaks to the log as others do: cancels, and takes jobs as another worker would."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self.prefix = keys.prefix(namespace, 0)
        self._scripts = Scripts()

    def cancel(self, job: str, *, op: str = "op", reason: str = "") -> str:
        call = self._scripts.cancel(self.prefix, [job], op=op, by="user:u", reason=reason)
        return send(self._client, [call])[0][0].decode()

    def expire_leases(self, queue: str = "default") -> None:
        """Make all leases of the queue end now."""
        key = keys.leases(self.prefix, queue)
        for job in self._client.zrange(key, 0, -1):
            self._client.zadd(key, {job: 1})

    def claim(self, worker: str, lease_ms: int = 60_000) -> None:
        call = self._scripts.claim(
            self.prefix,
            worker=worker,
            op="1",
            queues=["default"],
            limit=1,
            lease_ms=lease_ms,
            max_deaths=3,
        )
        send(self._client, [call])


@pytest.fixture
def log(redis_client: redis.Redis, namespace: str) -> Log:
    return Log(redis_client, namespace)


def endless(seen: list[str], kind: type[BaseException]) -> None:
    seen.append("started")
    try:
        while True:
            time.sleep(0.005)
    except kind as interrupt:
        seen.append(f"{type(interrupt).__name__}, {current_job().cancelled}")
        raise


@pytest.mark.one_partition
def test_a_running_job_is_interrupted_when_it_is_cancelled(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker(lease_ms=1000)
    backend = StubBackend()
    broker.add_middleware(Results(backend=backend, store_results=True))
    seen: list[str] = []
    told = []

    @dramatiq.actor
    def callback(*_: object) -> None:
        told.append(1)

    @dramatiq.actor(on_failure="callback", on_retry_exhausted="callback")
    def work() -> None:
        endless(seen, CancelRequested)

    message = work.send()
    with run(broker, threads=1):
        eventually(lambda: seen)
        assert log.cancel(message.message_id, reason="enough") == "requested"
        broker.join("default", timeout=5_000)
        for results in (backend, TritonResultBackend(broker)):
            with pytest.raises(dramatiq.results.ResultFailure, match=r"(?i)cancel"):
                message.get_result(backend=results, block=True, timeout=5_000)
        assert work.send().message_id
        eventually(lambda: len(seen) >= 3)
        log.cancel(history.events()[-1].job, op="two")
        broker.join("default", timeout=5_000)
    assert seen == ["started", "CancelRequested, True"] * 2, "the thread lives on"
    assert history.types(message.message_id) == [
        *("submitted", "started", "cancel_requested", "cancelled")
    ]
    last = history.of(message.message_id)[-1]
    assert (last.by, last.data) == ("user:u", Cancelled(reason="enough"))
    assert told == [], "nothing follows from a job that was cancelled"
    history.check()


@pytest.mark.one_partition
def test_an_actor_may_finish_although_it_should_stop(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker(lease_ms=1000)
    seen: list[str] = []

    @dramatiq.actor
    def stubborn() -> str:
        try:
            endless(seen, CancelRequested)
        except CancelRequested:
            return "tidied up"
        return ""

    message = stubborn.send()
    with run(broker):
        eventually(lambda: seen)
        log.cancel(message.message_id)
        broker.join("default", timeout=5_000)
        assert message.get_result() == "tidied up"
    assert history.types(message.message_id)[-1] == "completed"


@pytest.mark.one_partition
def test_a_job_that_should_stop_is_not_run_again(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    """A retry or a snooze of a job that somebody asked to cancel ends it instead."""
    broker = make_broker(lease_ms=60_000)
    running, go_on = threading.Semaphore(0), threading.Event()

    @dramatiq.actor
    def work(error: str) -> None:
        running.release()
        go_on.wait(5)
        raise Snooze(10) if error == "snooze" else ValueError(error)

    messages = [work.send("snooze"), work.send("retry")]
    with run(broker):
        for _ in messages:
            assert running.acquire(timeout=5)
        for message in messages:
            assert log.cancel(message.message_id) == "requested"
        go_on.set()
        broker.join("default", timeout=5_000)
    for message in messages:
        assert history.types(message.message_id)[-1] == "cancelled"
    history.check()


@pytest.mark.one_partition
def test_what_waits_is_cancelled_at_once(
    broker: TritonBroker, run: Run, history: History, log: Log
) -> None:
    ran = []

    @dramatiq.actor
    def work() -> None:
        ran.append(1)

    waiting, delayed = work.send(), work.send_with_options(delay=60_000)
    for message in (waiting, delayed):
        assert log.cancel(message.message_id, reason="no need") == "cancelled"
        assert history.types(message.message_id) == ["submitted", "cancelled"]
    with run(broker):
        broker.join("default", timeout=5_000)
    assert ran == []


@pytest.mark.one_partition
def test_a_job_that_waits_in_the_process_never_begins_when_cancelled(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker(lease_ms=1000)
    ran = []

    @dramatiq.actor
    def work() -> None:
        ran.append(1)

    with run(broker, threads=1) as worker:
        for thread in worker.workers:
            thread.pause()
            thread.paused_event.wait()
        message = work.send()
        eventually(lambda: history.types(message.message_id)[-1:] == ["started"])
        log.cancel(message.message_id)
        held = next(iter(broker._get_dispatcher()._held.values()))
        eventually(lambda: held.cancel_requested)
        worker.resume()
        broker.join("default", timeout=5_000)
    assert ran == []
    assert history.types(message.message_id)[-1] == "cancelled"


@pytest.mark.one_partition
def test_a_worker_that_lost_its_lease_is_interrupted_and_refused(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker(lease_ms=1000)
    seen: list[str] = []
    told = []

    @dramatiq.actor
    def callback(*_: object) -> None:
        told.append(1)

    @dramatiq.actor(on_failure="callback")
    def work() -> None:
        endless(seen, LeaseLost)

    message = work.send()
    with run(broker):
        eventually(lambda: seen)
        log.expire_leases()
        log.claim("other")
        eventually(lambda: len(seen) == 2)
        assert history.types(message.message_id) == [
            *("submitted", "started", "lease_lost", "started")
        ]
        # The other worker's lease stands; ours wrote nothing, and nothing followed.
        eventually(lambda: not broker._get_dispatcher()._held)
        assert len(history.of(message.message_id)) == 4
    assert seen == ["started", "LeaseLost, True"]
    assert told == []
    history.check()


def test_a_job_outlives_its_lease_while_its_worker_lives(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker(lease_ms=1000)
    other = make_broker(lease_ms=1000)

    @dramatiq.actor(broker=broker)
    def work() -> None:
        time.sleep(1.7)

    other.declare_queue("default")
    other.declare_actor(work)
    message = work.send()
    with run(broker):
        eventually(lambda: history.types(message.message_id)[-1:] == ["started"])
        with run(other):
            broker.join("default", timeout=5_000)
    assert history.types(message.message_id) == ["submitted", "started", "completed"]


def test_jobs_keep_their_leases_while_consumers_are_closed(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    """Dramatiq closes consumers when a worker pauses, although jobs run on in its threads."""
    broker = make_broker(lease_ms=1000)
    go_on = threading.Event()

    @dramatiq.actor
    def work() -> None:
        go_on.wait(10)

    message = work.send()
    with run(broker) as worker:
        eventually(lambda: history.types(message.message_id)[-1:] == ["started"])
        for consumer in worker.consumers.values():
            consumer.stop()
            consumer.join()
            consumer.close()
        time.sleep(1.7)  # more than two leases
        other = make_broker(lease_ms=1000)

        @dramatiq.actor
        def probe() -> None:
            pass

        with run(other):
            probed = probe.send().message_id
            eventually(lambda: history.types(probed)[-1] == "completed")
        go_on.set()
        broker.join("default", timeout=5_000)
    assert history.types(message.message_id) == ["submitted", "started", "completed"]


@pytest.mark.one_partition
def test_a_job_whose_workers_die_each_time_ends_as_died(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker(max_deaths=2)

    @dramatiq.actor
    def work() -> None:
        pass

    message = work.send()
    for worker in ("a", "b", "c"):
        log.claim(worker)
        log.expire_leases()
    with run(broker):
        broker.join("default", timeout=5_000)
    assert history.types(message.message_id) == [
        *("submitted", "started", "lease_lost", "started", "lease_lost", "started"),
        *("lease_lost", "failed"),
    ]
    failed = history.of(message.message_id)[-1].data
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.error.type) == ("died", "WorkerDied")
    history.check()


def test_a_stopping_worker_gives_back_what_it_has_not_begun(
    make_broker: MakeBroker, run: Run, history: History
) -> None:
    broker = make_broker(lease_ms=60_000)
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    @dramatiq.actor
    def work() -> None:
        begun.release()
        go_on.wait(10)

    with run(broker, threads=2) as worker:
        worker.workers[0].pause()
        worker.workers[0].paused_event.wait()
        messages = [work.send() for _ in range(4)]
        assert begun.acquire(timeout=5)
        eventually(lambda: sum(e.type == "job.started" for e in history.events()) == 2)
        go_on.set()
    kinds = [history.types(message.message_id) for message in messages]
    assert all(kind[-1] in ("submitted", "completed", "released") for kind in kinds), kinds
    assert broker.count("default")["leases"] == 0
    for event in history.events():
        if isinstance(event.data, Released):
            assert event.data.reason == "the worker stopped before it began"
    with run(broker):
        broker.join("default", timeout=5_000)
    assert history.ended() == {"completed": 4}
    history.check()


def test_an_interrupt_is_either_in_time_or_not_at_all() -> None:
    """Cancels at random moments around the end of actors: threads survive, outcomes are one of two."""
    outcomes = set()
    claimed = Claimed("j", 1, b"", "q", "t", "", "", "")

    class Holder:
        by = "worker:w"

        def report_at(self, proxy: JobProxy, at: float) -> None:
            raise AssertionError("nothing was said")

    def one(pause: float) -> None:
        proxy = JobProxy(message_for(job="j", at_ms=0, actor="a"), claimed, Holder())
        canceller = threading.Timer(pause, proxy.interrupt, [CancelRequested])
        canceller.start()
        raised: BaseException | None = None
        try:
            proxy.enter()
            for _ in range(200):
                pass
        except CancelRequested as error:
            raised = error
            proxy.stuff_exception(error)
        proxy.leave("done", raised)
        canceller.join()
        for _ in range(100):
            pass
        outcomes.add(type(proxy.exception).__name__)
        assert proxy.result == (None if proxy.exception else "done")

    for number in range(300):
        one((number % 30) * 1e-6)
    assert outcomes <= {"NoneType", "CancelRequested"}


@pytest.mark.one_partition
def test_an_interrupt_while_the_actors_error_is_logged_finds_nobody(
    make_broker: MakeBroker,
    run: Run,
    history: History,
    log: Log,
    request: pytest.FixtureRequest,
) -> None:
    """Dramatiq logs an actor's exception before any hook runs: there the interrupt killed the thread."""
    broker = make_broker(lease_ms=1000)
    logging_now = threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                logging_now.set()
                end = time.monotonic() + 0.3
                while time.monotonic() < end:
                    time.sleep(0.005)

    @dramatiq.actor(max_retries=0)
    def work() -> None:
        raise ValueError("no")

    logger = logging.getLogger("dramatiq.worker.WorkerThread")
    handler = Slow()
    logger.addHandler(handler)
    request.addfinalizer(lambda: logger.removeHandler(handler))
    message = work.send()
    with run(broker, threads=1) as worker:
        assert logging_now.wait(5)
        log.cancel(message.message_id)
        broker.join("default", timeout=5_000)
        assert all(thread.is_alive() for thread in worker.workers)
    assert history.types(message.message_id)[-1] == "failed"
