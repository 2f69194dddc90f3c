"""Tries that messages become jobs: what is logged, in which order, with which ids, and what is refused."""

from __future__ import annotations

import threading
import time

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import Message

from eventually import eventually
from triton import Snooze, TritonBroker, current_job, keys
from triton.broker.context import current_proxy
from triton.errors import ConfigurationError, ValidationError
from triton.events.client import send
from triton.events.codec import encode_data
from triton.events.scripts import Scripts
from triton.events.submission import Submission
from triton.events.types import Completed, Failed, RetryScheduled, Snoozed, Started, Submitted


def test_a_message_is_a_job_with_three_events(
    broker: TritonBroker, run: Run, history: History
) -> None:
    seen = []

    @dramatiq.actor
    def add(x: int, y: int) -> int:
        job = current_job()
        seen.append((job.id, job.attempt, job.queue, job.tenant, job.correlation, x, y))
        return x + y

    message = add.send(1, y=2)
    with run(broker):
        broker.join("default", timeout=30_000)
    assert seen == [(message.message_id, 1, "default", "default", message.message_id, 1, 2)]
    submitted, started, completed = history.of(message.message_id)
    assert isinstance(submitted.data, Submitted)
    assert Message.decode(submitted.data.body) == message
    assert (submitted.by, submitted.queue, submitted.attempt) == ("system", "default", 0)
    assert isinstance(started.data, Started)
    assert started.by == completed.by == f"worker:{started.data.worker}"
    assert completed.data == Completed(result=3)
    assert completed.attempt == 1
    history.check()


def test_an_id_sent_twice_is_one_job(broker: TritonBroker, run: Run, history: History) -> None:
    runs = []

    @dramatiq.actor
    def once(value: str) -> None:
        runs.append(value)

    message = once.message("a")
    broker.enqueue(message)
    broker.enqueue(message.copy(args=("b",)))
    receipts = broker.enqueue_many([message, once.message("c"), message])
    assert [receipt.status for receipt in receipts] == ["exists", "accepted", "exists"]
    with run(broker):
        broker.join("default", timeout=30_000)
        broker.enqueue(message)
        broker.join("default", timeout=30_000)
    assert sorted(runs) == ["a", "c"]
    assert history.ended() == {"completed": 2}


def test_one_of_many_that_cannot_be_a_job_stops_all_or_only_itself(
    broker: TritonBroker, history: History
) -> None:
    @dramatiq.actor
    def work(text: str) -> None:
        pass

    large = work.message("x" * 1_000_000)
    unprintable = work.message("a").copy(queue_name="bell\a")
    messages = [work.message("a"), large, unprintable]
    with pytest.raises(ValidationError) as refused:
        broker.enqueue_many(messages)
    assert [item["index"] for item in refused.value.details["items"]] == [1, 2]
    assert refused.value.details["fields"][1]["field"] == "jobs[2].queue"
    assert broker.count("default")["ready"] == 0
    receipts = broker.enqueue_many(messages, mode="partial")
    assert [receipt.status for receipt in receipts] == ["accepted", "rejected", "rejected"]
    assert receipts[1].error is not None
    assert "bytes" in receipts[1].error.message
    assert history.types(messages[0].message_id) == ["submitted"]


def test_a_thousand_messages_are_sent_in_few_round_trips(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis
) -> None:
    ran = set()

    @dramatiq.actor
    def note(number: int) -> None:
        ran.add(number)

    messages = [note.message(number) for number in range(1000)]
    broker.join("default")
    before = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    receipts = broker.enqueue_many(messages)
    assert {receipt.status for receipt in receipts} == {"accepted"}
    assert [receipt.id for receipt in receipts] == [message.message_id for message in messages]
    calls = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert calls <= 12, "five scripts of 200 jobs, the log's opening, and scripts loaded anew"
    with run(broker, threads=8):
        broker.join("default", timeout=60_000)
    assert ran == set(range(1000))
    history.check()
    assert history.ended() == {"completed": 1000}


@pytest.mark.usefixtures("told_only")
def test_a_delay_is_counted_by_the_server_and_logged(
    broker: TritonBroker, run: Run, history: History
) -> None:

    @dramatiq.actor
    def later() -> None:
        pass

    with run(broker):
        eventually(lambda: broker._working.dispatcher()._bell.listening)
        message = later.send_with_options(delay=300)
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "due", "started", "completed"]
    submitted, due, *_ = history.of(message.message_id)
    assert isinstance(submitted.data, Submitted)
    assert submitted.data.due == submitted.at + 300_000
    assert due.at >= submitted.data.due


def test_messages_that_another_broker_delayed_run_at_their_eta(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis
) -> None:
    @dramatiq.actor
    def work() -> None:
        pass

    eta = int(time.time() * 1000) + 3_600_000
    delayed = broker.enqueue(work.message().copy(options={"eta": eta}))
    broken = broker.enqueue(work.message().copy(options={"eta": "tomorrow"}))
    submitted = history.of(delayed.message_id)[0].data
    assert isinstance(submitted, Submitted)
    assert submitted.due == eta * 1000
    redis_client.zadd(
        keys.due(broker.prefix_of(delayed.message_id), "default"), {delayed.message_id: 1}
    )
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(delayed.message_id) == ["submitted", "due", "started", "completed"]
    assert history.types(broken.message_id) == ["submitted", "started", "completed"]


@pytest.mark.one_partition
def test_smaller_priorities_start_first(broker: TritonBroker, run: Run, history: History) -> None:
    @dramatiq.actor(priority=10)
    def low() -> None:
        pass

    @dramatiq.actor(priority=0)
    def high() -> None:
        pass

    for _ in range(10):
        low.send()
    urgent = [high.send().message_id for _ in range(5)]
    first = low.send_with_options(priority=-5).message_id
    with run(broker, threads=1):
        broker.join("default", timeout=30_000)
    started = [event.job for event in history.events() if event.type == "job.started"]
    assert started[:6] == [first, *urgent]


@pytest.mark.one_partition
def test_an_unknown_actor_and_a_body_that_cannot_be_read_end_as_rejected(
    broker: TritonBroker, run: Run, history: History, namespace: str, redis_client: redis.Redis
) -> None:
    @dramatiq.actor
    def known() -> None:
        pass

    unknown = broker.enqueue(Message("default", "nobody", (), {}, {}))
    foreign = known.message().encode()
    bodies = {"garbage": b"\xff\x00", "list": b"[1]", "other": foreign, "text": b'{"args":[]}'}
    submissions = [
        Submission(
            job=name,
            queue="default",
            actor="known",
            tenant="default",
            by="system",
            data=encode_data(Submitted(actor="known", body=body)),
            body=body,
        )
        for name, body in bodies.items()
    ]
    send(redis_client, [Scripts().submit(keys.prefix(namespace, 0), submissions)])
    good = [known.send() for _ in range(3)]
    with run(broker, threads=2):
        broker.join("default", timeout=30_000)
    for job in [unknown.message_id, *bodies]:
        assert history.types(job) == ["submitted", "started", "failed"]
        failed = history.of(job)[-1].data
        assert isinstance(failed, Failed)
        assert failed.reason == "rejected"
    assert all(history.types(message.message_id)[-1] == "completed" for message in good)
    history.check()


def test_a_snooze_is_no_failure_and_calls_nobody_back(
    broker: TritonBroker, run: Run, history: History
) -> None:
    called = []

    @dramatiq.actor
    def callback(*_: object) -> None:
        called.append(1)

    @dramatiq.actor(max_retries=0, on_failure="callback", on_retry_exhausted="callback")
    def patient() -> str:
        if current_job().attempt < 3:
            raise Snooze(20, "not yet")
        return "done"

    message = patient.send()
    with run(broker):
        broker.join("default", timeout=30_000)
        assert message.get_result() == "done"
    assert history.types(message.message_id) == [
        *("submitted", "started", "snoozed", "due", "started", "snoozed", "due"),
        *("started", "completed"),
    ]
    snoozed = history.of(message.message_id)[2]
    assert isinstance(snoozed.data, Snoozed)
    assert (snoozed.data.reason, snoozed.data.due) == ("not yet", snoozed.at + 20_000)
    assert called == []


def test_a_snooze_needs_a_delay_that_can_be_waited_for() -> None:
    for delay in (-1, 10**18, float("nan")):
        with pytest.raises(ValueError, match=f"delay is {delay}"):
            Snooze(delay)  # type: ignore[arg-type]


def test_an_actor_that_sends_its_own_message_again_is_run_again(
    broker: TritonBroker, run: Run, history: History
) -> None:
    seen = []

    @dramatiq.actor
    def again(number: int) -> None:
        seen.append(number)
        if number < 3:
            proxy = current_proxy.get()
            assert proxy is not None
            broker.enqueue(proxy.message.copy(args=(number + 1,)), delay=10)

    message = again.send(1)
    with run(broker):
        broker.join("default", timeout=30_000)
    assert seen == [1, 2, 3]
    assert history.types(message.message_id).count("retry_scheduled") == 2
    history.check()


def test_what_an_actor_sends_belongs_to_its_job(
    broker: TritonBroker, run: Run, history: History
) -> None:
    children = []

    @dramatiq.actor
    def child() -> None:
        pass

    @dramatiq.actor
    def parent() -> None:
        children.append(child.send().message_id)

    message = parent.send_with_options(tenant="acme", traceparent="00-aa-bb-01")
    with run(broker):
        broker.join("default", timeout=30_000)
    (submitted, *_) = history.of(children[0])
    started = history.of(message.message_id)[1]
    assert submitted.by == started.by
    assert submitted.causation == f"job:{message.message_id}"
    assert submitted.correlation == message.message_id
    assert (submitted.tenant, submitted.traceparent) == ("acme", "00-aa-bb-01")


def test_what_cannot_be_a_job_is_refused_with_its_reason(broker: TritonBroker) -> None:
    @dramatiq.actor
    def work(*_: object) -> None:
        pass

    with pytest.raises(ValidationError, match=r"at most 524288 are taken: set TRITON_ARCHIVE"):
        work.send("x" * 600_000)
    with pytest.raises(ValidationError, match="delay is -1"):
        broker.enqueue(work.message(), delay=-1)
    with pytest.raises(ValidationError, match="priority is 'high'"):
        work.send_with_options(priority="high")
    with pytest.raises(ValidationError, match="queue is ''"):
        broker.enqueue(Message("", "work", (), {}, {}))


def test_results_that_are_no_plain_data_do_not_stop_a_job(
    broker: TritonBroker, run: Run, history: History
) -> None:
    endless: list[object] = []
    endless.append(endless)
    results = {"lock": threading.Lock(), "large": "x" * 70_000, "endless": endless, "odd": "\ud800"}

    @dramatiq.actor
    def give(name: str) -> object:
        return results[name]

    messages = {name: give.send(name) for name in results}
    with run(broker):
        broker.join("default", timeout=30_000)
    for name, message in messages.items():
        completed = history.of(message.message_id)[-1].data
        assert isinstance(completed, Completed), name
        assert completed.result is None
        assert completed.omitted.startswith(("a result of type", "the result has 7")), name


def test_exceptions_that_cannot_be_printed_are_logged_all_the_same(
    broker: TritonBroker, run: Run, history: History
) -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    @dramatiq.actor(max_retries=0)
    def unprintable() -> None:
        raise UnprintableError

    @dramatiq.actor(max_retries=0)
    def surrogate() -> None:
        raise ValueError("\udcff" + "long" * 1000)

    messages = [unprintable.send(), surrogate.send()]
    with run(broker):
        broker.join("default", timeout=30_000)
    for message, name in zip(messages, ("UnprintableError", "ValueError"), strict=True):
        failed = history.of(message.message_id)[-1].data
        assert isinstance(failed, Failed)
        assert (failed.error.type, failed.reason) == (name, "error")
        assert len(failed.error.message) <= 2_000
        assert "Traceback" in failed.error.traceback or len(failed.error.traceback) == 6_000


def test_a_retry_that_cannot_be_encoded_ends_the_job(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor
    def spoil() -> None:
        proxy = current_proxy.get()
        assert proxy is not None
        proxy.options["thing"] = object()
        raise ValueError("again")

    message = spoil.send()
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "started", "failed"]


def test_a_log_that_was_created_otherwise_is_refused(make_broker: MakeBroker) -> None:
    first = make_broker(partitions=2)

    @dramatiq.actor(broker=first)
    def work() -> None:
        pass

    work.send()
    second = make_broker(partitions=3)
    with pytest.raises(ConfigurationError, match=r"created with 2 partitions.*set it to 2"):
        second.enqueue(work.message())


def test_current_job_outside_an_actor_says_so(broker: TritonBroker) -> None:
    with pytest.raises(RuntimeError, match="outside an actor"):
        current_job()


def test_retries_say_how_often_and_when(broker: TritonBroker, run: Run, history: History) -> None:
    @dramatiq.actor(max_retries=3)
    def flaky() -> None:
        if current_job().attempt < 3:
            raise ValueError(f"attempt {current_job().attempt}")

    message = flaky.send()
    with run(broker):
        eventually(lambda: history.types(message.message_id)[-1:] == ["completed"])
    retries = [e for e in history.of(message.message_id) if e.type == "job.retry_scheduled"]
    data = [event.data for event in retries]
    assert all(isinstance(each, RetryScheduled) for each in data)
    assert [each.retries for each in data if isinstance(each, RetryScheduled)] == [1, 2]
    assert [each.error.message for each in data if isinstance(each, RetryScheduled)] == [
        "attempt 1",
        "attempt 2",
    ]
