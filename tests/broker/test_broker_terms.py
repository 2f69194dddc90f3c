"""Tries the terms of a submit through a broker: times to live, unique jobs, keys, and held queues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq.rate_limits.backends import StubBackend

from eventually import eventually
from triton import TritonBroker, current_job, keys
from triton.errors import (
    IdempotencyError,
    NotUniqueError,
    QueueClosedError,
    ValidationError,
)
from triton.events.types import Cancelled, Failed, Submitted
from triton.terms import decode_declared

#: Kinds of keys that a log has, an ended job leaves for a while, or a living worker keeps.
KEPT = {"log", "meta", "actors", "signatures", "terms", "queues"} | {
    *("job", "body", "bell", "claim", "worker", "workers")
}


@pytest.fixture
def left(redis_client: redis.Redis, namespace: str) -> Callable[[], set[str]]:
    """The kinds of keys of the namespace, without those that every log has."""

    def kinds() -> set[str]:
        found = redis_client.scan_iter(f"{{{namespace}:*", count=1000)
        names = {key.decode().partition("}:")[2].partition(":")[0] for key in found}
        return names - KEPT

    return kinds


def test_an_actors_terms_are_known_to_who_submits_by_its_name(
    broker: TritonBroker, run: Run, redis_client: redis.Redis, namespace: str
) -> None:
    @dramatiq.actor(ttl=60_000, unique={"key": "k", "conflict": "reject"})
    def strict() -> None: ...

    @dramatiq.actor
    def plain() -> None: ...

    with run(broker):
        found = eventually(lambda: redis_client.hgetall(keys.terms(keys.prefix(namespace, 0))))
    assert decode_declared(found[b"strict"]) == {
        "ttl": 60_000,
        "unique": {"key": "k", "conflict": "reject"},
    }
    assert decode_declared(found[b"plain"]) == {}


def test_a_job_that_nobody_starts_in_time_fails(
    broker: TritonBroker, run: Run, history: History, left: Callable[[], set[str]]
) -> None:
    """Also where its queue is paused, or has no worker; and one without a limit waits on."""
    runs = []

    @dramatiq.actor(queue_name="paused", ttl=20)
    def never() -> None:
        runs.append("never")

    @dramatiq.actor(queue_name="other")
    def other(value: str) -> None:
        runs.append(value)

    foreign = dramatiq.Message("nobody's", "elsewhere", (), {}, {"ttl": 20})
    assert broker.pause("paused", reason="repairs")
    late, lasting = never.send(), never.send_with_options(ttl=60_000)
    broker.enqueue(foreign)
    delayed = other.send_with_options(args=("delayed",), delay=100, ttl=60_000)
    with run(broker):
        eventually(lambda: runs == ["delayed"])
        eventually(lambda: history.ended()["failed"] == 2)
        for message in (late, foreign):
            failed = history.of(message.message_id)[-1].data
            assert isinstance(failed, Failed)
            assert (failed.reason, failed.error.type) == ("expired", "Expired")
        assert history.types(lasting.message_id) == ["submitted"]
        assert broker.resume("paused")
        broker.join("paused", timeout=30_000)
    assert runs == ["delayed", "never"]
    assert history.types(delayed.message_id)[-1] == "completed"
    assert left() == set()
    history.check()


def test_jobs_expire_while_the_only_worker_is_busy(
    make_broker: MakeBroker, run: Run, redis_client: redis.Redis, namespace: str
) -> None:
    broker = make_broker(partitions=3, lease_ms=1_000)
    history = History(redis_client, namespace, 3)
    runs = []

    @dramatiq.actor
    def busy() -> None:
        runs.append(1)
        eventually(lambda: history.ended()["failed"] == 9)

    @dramatiq.actor
    def late() -> None: ...

    busy.send()
    with run(broker, threads=1):
        eventually(lambda: runs)
        sent = [late.message_with_options(ttl=20) for _ in range(9)]
        while len({keys.partition_of(message.message_id, 3) for message in sent}) == 1:
            sent[0] = late.message_with_options(ttl=20)
        broker.enqueue_many(sent)
        broker.join("default", timeout=30_000)
    assert history.ended() == {"completed": 1, "failed": 9}


def test_a_time_to_live_ends_with_the_first_start(
    broker: TritonBroker, run: Run, history: History
) -> None:
    @dramatiq.actor(max_retries=1)
    def flaky() -> None:
        if current_job().attempt == 1:
            raise ValueError

    def started() -> str:
        """A job that began before its time was over; a machine that stood still meanwhile tries again."""
        job = flaky.send_with_options(ttl=500, min_backoff=700, max_backoff=700).message_id
        kinds = eventually(lambda: history.types(job)[1:])
        return job if kinds[0] == "started" else ""

    with run(broker):
        job = eventually(started)
        broker.join("default", timeout=30_000)
    assert history.types(job) == [
        *("submitted", "started", "retry_scheduled", "due", "started", "completed")
    ]


@pytest.mark.parametrize("partitions", [1, 5])
def test_a_unique_job_is_the_answer_while_it_lives(
    make_broker: MakeBroker,
    run: Run,
    redis_client: redis.Redis,
    namespace: str,
    left: Callable[[], set[str]],
    partitions: int,
) -> None:
    broker = make_broker(partitions=partitions)
    runs = []

    @dramatiq.actor(unique=True)
    def sync(customer: int) -> int:
        runs.append(customer)
        return customer

    first = [sync.send(number) for number in range(6)]
    again = [sync.send(number) for number in range(6)]
    assert [message.message_id for message in again] == [message.message_id for message in first]
    others = [
        sync.send_with_options(args=(0,), unique=False),
        sync.send_with_options(args=(0,), tenant="b"),
    ]
    with run(broker):
        assert [message.get_result(block=True, timeout=30_000) for message in again] == list(
            range(6)
        )
        broker.join("default", timeout=30_000)
        assert len({message.message_id for message in (*first, *others)}) == 8
        assert sorted(runs) == [0, 0, 0, 1, 2, 3, 4, 5]
        assert sync.send(0).message_id not in {message.message_id for message in first}
        broker.join("default", timeout=30_000)
    assert left() == set(), "no key of a job that ended is left behind"
    History(redis_client, namespace, partitions).check()


def test_conflicts_are_settled_as_the_submit_says(
    broker: TritonBroker, run: Run, history: History, left: Callable[[], set[str]]
) -> None:
    runs = []

    @dramatiq.actor
    def index(page: str) -> None:
        runs.append(page)

    def send(page: str, conflict: str, **more: object) -> str:
        unique = {"key": "the-index", "conflict": conflict, **more}
        return index.send_with_options(args=(page,), unique=unique).message_id

    old = send("old", "return")
    assert send("other", "return") == old
    with pytest.raises(NotUniqueError, match=old) as refused:
        send("other", "reject")
    assert refused.value.details == {"job": old}
    new = send("new", "replace")
    assert history.of(old)[-1].data == Cancelled(reason=f"replaced by {new}")
    with run(broker):
        broker.join("default", timeout=30_000)
    assert runs == ["new"]

    kept = send("kept", "return", window=60_000)
    with run(broker):
        broker.join("default", timeout=30_000)
    assert send("again", "return") == kept, "a window outlasts the job that completed"
    assert left() == {"unique"}
    history.check()


def test_a_running_job_is_not_replaced_but_followed(
    broker: TritonBroker, run: Run, history: History, left: Callable[[], set[str]]
) -> None:
    runs: list[str] = []

    @dramatiq.actor(unique={"key": "k", "conflict": "replace"})
    def index(page: str) -> None:
        runs.append(page)
        eventually(lambda: page != "first" or len(history.jobs()) == 3)

    first = index.send("first").message_id
    with run(broker, threads=1):
        eventually(lambda: runs)
        second, third = index.send("second").message_id, index.send("third").message_id
        broker.join("default", timeout=30_000)
    assert runs == ["first", "third"]
    assert [history.types(job)[-1] for job in (first, second, third)] == [
        *("completed", "cancelled", "completed")
    ]
    assert left() == set()


def test_every_member_of_a_group_runs_though_its_actor_is_unique(
    broker: TritonBroker, run: Run
) -> None:
    broker.add_middleware(dramatiq.middleware.GroupCallbacks(StubBackend()))
    runs: list[str] = []

    @dramatiq.actor(unique=True)
    def member() -> None:
        runs.append("member")

    @dramatiq.actor
    def done() -> None:
        runs.append("done")

    group = dramatiq.group([member.message(), member.message()])
    group.add_completion_callback(done.message())
    with run(broker):
        group.run()
        eventually(lambda: runs == ["member", "member", "done"])


def test_an_idempotency_key_is_its_job_also_after_the_end(
    broker: TritonBroker, run: Run, redis_client: redis.Redis, history: History
) -> None:
    @dramatiq.actor
    def pay(order: int) -> int:
        return order

    def send(order: int, **options: object) -> str:
        options = {"idempotency_key": "order-7", **options}
        return pay.send_with_options(args=(order,), **options).message_id

    job = send(7)
    assert send(7) == job
    with run(broker):
        broker.join("default", timeout=30_000)
    assert send(7, ttl=60_000) == job
    assert send(7, run_at=datetime.now(UTC) - timedelta(hours=1)) == job, "a late repeat"
    with pytest.raises(IdempotencyError, match=f"belongs to job {job}"):
        send(8)
    with pytest.raises(ValidationError, match="run_at is past"):
        send(7, idempotency_key="new", run_at=datetime.now(UTC) - timedelta(hours=1))
    assert send(7, tenant="another") != job
    assert history.types(job) == ["submitted", "started", "completed"]


def test_the_horizon_of_an_idempotency_key_is_a_setting(
    make_broker: MakeBroker, run: Run, redis_client: redis.Redis
) -> None:
    broker = make_broker(completed_ttl_ms=1_000, idempotency_ms=3_600_000)

    @dramatiq.actor
    def pay() -> None: ...

    keyed = pay.send_with_options(idempotency_key="k").message_id
    plain = pay.send().message_id
    with run(broker):
        broker.join("default", timeout=30_000)
    prefix = broker.prefix_of(keyed)
    assert 3_500_000 < redis_client.pttl(keys.job(prefix, keyed)) <= 3_600_000
    assert redis_client.pttl(keys.job(prefix, plain)) <= 1_000


def test_a_job_runs_at_its_time(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis
) -> None:
    @dramatiq.actor
    def wake() -> None: ...

    when = datetime.now(UTC) + timedelta(hours=1)
    message = wake.send_with_options(run_at=when)
    submitted = history.of(message.message_id)[0].data
    assert isinstance(submitted, Submitted)
    assert submitted.due == round(when.timestamp() * 1_000_000)
    # The hour passes.
    redis_client.zadd(
        keys.due(broker.prefix_of(message.message_id), "default"), {message.message_id: 1}
    )
    with run(broker):
        broker.join("default", timeout=30_000)
    assert history.types(message.message_id) == ["submitted", "due", "started", "completed"]
    with pytest.raises(ValidationError, match="without a time zone"):
        wake.send_with_options(run_at=when.replace(tzinfo=None))


def test_a_queue_that_drains_takes_no_more_but_what_its_jobs_send(
    broker: TritonBroker, run: Run, history: History
) -> None:
    runs: list[int] = []

    @dramatiq.actor
    def count(number: int) -> None:
        runs.append(number)
        if number:
            count.send(number - 1)

    message = count.send(2)
    assert broker.drain("default")
    assert not broker.drain("default"), "it drains already"
    with pytest.raises(QueueClosedError, match="queue default drains"):
        count.send(0)
    assert broker.enqueue(message).message_id == message.message_id, "a repeat is no new job"
    with run(broker):
        broker.join("default", timeout=30_000)
        assert runs == [2, 1, 0]
        assert broker.resume("default")
        count.send(0)
        broker.join("default", timeout=30_000)
    assert len(history.jobs()) == 4


def test_a_paused_queue_lets_leases_lapse_and_due_times_come(
    broker: TritonBroker, run: Run, history: History, redis_client: redis.Redis
) -> None:
    runs: list[str] = []

    @dramatiq.actor(queue_name="slow")
    def slow(name: str) -> None:
        runs.append(name)
        eventually(lambda: name != "holds" or "paused" in runs)

    with run(broker, threads=1):
        slow.send("holds")
        eventually(lambda: runs == ["holds"])
        broker.pause("slow")
        runs.append("paused")
        delayed = slow.send_with_options(args=("delayed",), delay=50)
        eventually(lambda: history.types(delayed.message_id) == ["submitted", "due"])
        # The end of what ran may be told after that.
        eventually(lambda: broker.count("slow") == {"ready": 1, "due": 0, "leases": 0})
        broker.resume("slow")
        broker.join("slow", timeout=30_000)
    assert runs == ["holds", "paused", "delayed"]
