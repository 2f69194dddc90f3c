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
from triton.events.replies import Claimed
from triton.events.scripts import Call, Scripts
from triton.events.types import Cancelled, Failed, Released
from triton.submit import message_for


class Log:
    """Speaks to the log as others do: cancels, and takes jobs as another worker would."""

    def __init__(self, client: redis.Redis, namespace: str, partitions: int) -> None:
        self._client = client
        self.prefix = keys.prefix(namespace, 0)
        self._prefixes = [keys.prefix(namespace, number) for number in range(partitions)]
        self._scripts = Scripts()

    def cancel(self, job: str, *, op: str = "op", reason: str = "") -> str:
        call = self._scripts.cancel(self.prefix, [job], op=op, by="user:u", reason=reason)
        return send(self._client, [call])[0][0].decode()

    def expire_leases(self, queue: str = "default") -> None:
        """Make all leases of the queue end now."""
        key = keys.leases(self.prefix, queue)
        for job in self._client.zrange(key, 0, -1):
            self._client.zadd(key, {job: 1})

    def lease(self, job: str) -> float:
        """When the lease of a job of the queue `default` ends; 0 where it has none."""
        ends = (self._client.zscore(keys.leases(p, "default"), job) for p in self._prefixes)
        return max(end or 0 for end in ends)

    def claim(self, worker: str) -> None:
        send(self._client, [self._claim(worker)])

    def steal(self, job: str, worker: str) -> None:
        """End the lease of a job and claim it in one step: no heartbeat and no other claim comes between."""
        call = self._claim(worker)
        home = getattr(self._client, "homes", lambda _: [self._client])([call.key])[0]
        with home.pipeline() as pipe:
            pipe.zadd(keys.leases(self.prefix, "default"), {job: 1})
            pipe.eval(call.script.source, 1, call.key, *call.args)
            pipe.execute()

    def _claim(self, worker: str) -> Call:
        return self._scripts.claim(
            self.prefix,
            worker=worker,
            op="1",
            queues=["default"],
            limit=1,
            lease_ms=60_000,
            max_deaths=3,
        )


@pytest.fixture
def log(redis_client: redis.Redis, namespace: str, partitions: int) -> Log:
    return Log(redis_client, namespace, partitions)


def endless(seen: list[str], kind: type[BaseException]) -> None:
    seen.append("started")
    try:
        while True:
            time.sleep(0.005)
    except kind as interrupt:
        seen.append(f"{type(interrupt).__name__}, {current_job().cancelled}")
        raise


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_a_running_job_is_interrupted_when_it_is_cancelled(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker()
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
        broker.join("default", timeout=30_000)
        for results in (backend, TritonResultBackend(broker)):
            with pytest.raises(dramatiq.results.ResultFailure, match=r"(?i)cancel"):
                message.get_result(backend=results, block=True, timeout=30_000)
        assert work.send().message_id
        eventually(lambda: len(seen) >= 3)
        log.cancel(history.events()[-1].job, op="two")
        broker.join("default", timeout=30_000)
    assert seen == ["started", "CancelRequested, True"] * 2, "the thread lives on"
    assert history.types(message.message_id) == [
        *("submitted", "started", "cancel_requested", "cancelled")
    ]
    last = history.of(message.message_id)[-1]
    assert (last.by, last.data) == ("user:u", Cancelled(reason="enough"))
    assert told == [], "nothing follows from a job that was cancelled"
    history.check()


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_an_actor_may_finish_although_it_should_stop(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker()
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
        broker.join("default", timeout=30_000)
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
        go_on.wait(60)
        raise Snooze(10) if error == "snooze" else ValueError(error)

    messages = [work.send("snooze"), work.send("retry")]
    with run(broker):
        for _ in messages:
            assert running.acquire(timeout=30)
        for message in messages:
            assert log.cancel(message.message_id) == "requested"
        go_on.set()
        broker.join("default", timeout=30_000)
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
        broker.join("default", timeout=30_000)
    assert ran == []


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_a_job_that_waits_in_the_process_never_begins_when_cancelled(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker()
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
        # The log says so before the dispatcher has heard the answer.
        held = eventually(lambda: next(iter(broker._working.dispatcher()._held.values()), None))
        eventually(lambda: held.cancel_requested)
        worker.resume()
        broker.join("default", timeout=30_000)
    assert ran == []
    assert history.types(message.message_id)[-1] == "cancelled"


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_a_worker_that_lost_its_lease_is_interrupted_and_refused(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker = make_broker()
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
        log.steal(message.message_id, "other")
        eventually(lambda: len(seen) == 2)
        assert history.types(message.message_id) == [
            *("submitted", "started", "lease_lost", "started")
        ]
        # The other worker's lease stands; ours wrote nothing, and nothing followed.
        eventually(lambda: not broker._working.dispatcher()._held)
        assert len(history.of(message.message_id)) == 4
    assert seen == ["started", "LeaseLost, True"]
    assert told == []
    history.check()


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_a_job_outlives_its_lease_while_its_worker_lives(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    broker, other = make_broker(), make_broker()
    go_on = threading.Event()

    @dramatiq.actor(broker=broker)
    def work() -> None:
        go_on.wait(60)

    other.declare_queue("default")
    other.declare_actor(work)
    message = work.send()
    with run(broker):
        first = eventually(lambda: log.lease(message.message_id))
        with run(other):
            eventually(lambda: log.lease(message.message_id) > first)
            go_on.set()
            broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "started", "completed"]


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_jobs_keep_their_leases_while_consumers_are_closed(
    make_broker: MakeBroker, run: Run, history: History, log: Log
) -> None:
    """Dramatiq closes consumers when a worker pauses, although jobs run on in its threads."""
    broker = make_broker()
    go_on = threading.Event()

    @dramatiq.actor
    def work() -> None:
        go_on.wait(60)

    message = work.send()
    with run(broker) as worker:
        eventually(lambda: history.types(message.message_id)[-1:] == ["started"])
        for consumer in worker.consumers.values():
            consumer.stop()
            consumer.join()
            consumer.close()
        for _ in range(3):
            # One beat may have been under way.
            before = log.lease(message.message_id)
            eventually(lambda before=before: log.lease(message.message_id) > before)
        go_on.set()
        broker.join("default", timeout=30_000)
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
        broker.join("default", timeout=30_000)
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
        go_on.wait(60)

    with run(broker, threads=2) as worker:
        worker.workers[0].pause()
        worker.workers[0].paused_event.wait()
        messages = [work.send() for _ in range(4)]
        assert begun.acquire(timeout=30)
        eventually(lambda: sum(e.type == "job.started" for e in history.events()) == 2)
        go_on.set()
    kinds = [history.types(message.message_id) for message in messages]
    assert all(kind[-1] in ("submitted", "completed", "released") for kind in kinds), kinds
    assert broker.count("default")["leases"] == 0
    for event in history.events():
        if isinstance(event.data, Released):
            assert event.data.reason == "the worker stopped before it began"
    with run(broker):
        broker.join("default", timeout=30_000)
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


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.one_partition
def test_an_interrupt_while_the_actors_error_is_logged_finds_nobody(
    make_broker: MakeBroker,
    run: Run,
    history: History,
    log: Log,
    request: pytest.FixtureRequest,
) -> None:
    """Dramatiq logs an actor's exception before any hook runs: there the interrupt killed the thread."""
    broker = make_broker()
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
        assert logging_now.wait(30)
        log.cancel(message.message_id)
        broker.join("default", timeout=30_000)
        assert all(thread.is_alive() for thread in worker.workers)
    assert history.types(message.message_id)[-1] == "failed"
