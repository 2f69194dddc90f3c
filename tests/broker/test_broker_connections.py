"""Tries what happens when Redis is away, comes back, was emptied, or acts without being heard."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run
from broker_log import History
from dramatiq import ConnectionClosed
from own_server import OwnServer
from soak.cutting_proxy import CuttingProxy

from eventually import eventually
from triton import TritonBroker, current_job
from triton.errors import ConfigurationError, UnavailableError
from triton.stack.engines import Engines


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: sockets go into it."""
    with tempfile.TemporaryDirectory(prefix="tb") as made:
        yield Path(made)


@pytest.fixture
def server(folder: Path) -> Iterator[OwnServer]:
    made = OwnServer(folder)
    made.start()
    yield made
    made.kill()


def test_a_refused_connection_is_one_sentence_and_quick(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = make_broker(url="redis://127.0.0.1:1/0")
    waits: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", waits.append)

    @dramatiq.actor
    def work() -> None:
        pass

    for call in (work.send, lambda: broker.join("default")):
        waits.clear()
        with pytest.raises(
            ConnectionClosed, match=r"Redis does not answer \(.*\): is it running\?$"
        ):
            call()
        assert 0 < sum(waits) < 2


def test_a_bad_url_says_what_is_expected(make_broker: MakeBroker) -> None:
    with pytest.raises(ConfigurationError, match=r"expected redis://host:port/db"):
        make_broker(url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    "wrong", [{"partitions": 0}, {"lease_ms": 0}, {"namespace": "a{b}"}, {"idempotency_ms": 0}]
)
def test_a_value_that_the_log_could_not_live_with_is_refused_at_once(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=rf"^{name} of TritonBroker is .*: expected "):
        TritonBroker(**wrong)


@pytest.mark.one_partition
def test_a_full_server_refuses_without_a_half_done_job(
    make_broker: MakeBroker, run: Run, server: OwnServer, namespace: str
) -> None:
    broker = make_broker(url=server.url)

    @dramatiq.actor
    def work() -> None:
        pass

    work.send()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(UnavailableError, match=r"Redis refused a call: .*maxmemory"):
            work.send()
        client.config_set("maxmemory", 0)
        refused = work.message()
        with run(broker):
            client.config_set("maxmemory", 1)
            client.config_set("maxmemory", 0)
            broker.enqueue(refused)
            broker.join("default", timeout=30_000)
        history = History(client, namespace)
        history.check()
        assert history.ended() == {"completed": 2}


def test_what_follows_in_another_partition_is_not_lost_with_a_refusal(
    make_broker: MakeBroker, run: Run, server: OwnServer, namespace: str
) -> None:
    """Redis is full when an actor ends, and has room again a moment later."""
    broker = make_broker(url=server.url, partitions=2)
    results = []

    @dramatiq.actor
    def first() -> int:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 1)
        return 7

    @dramatiq.actor
    def second(result: int) -> None:
        results.append(result)

    def refusals(client: redis.Redis) -> int:
        return int(client.info("errorstats").get("errorstat_OOM", {}).get("count", 0))

    begin, then = first.message(), second.message()
    while broker.prefix_of(then.message_id) == broker.prefix_of(begin.message_id):
        then = second.message()
    with redis.Redis.from_url(server.url) as client:
        begin.options["pipe_target"] = then.asdict()
        broker.enqueue(begin)
        with run(broker):
            eventually(lambda: refusals(client) >= 2)
            client.config_set("maxmemory", 0)
            eventually(lambda: results == [7])
            broker.join("default", timeout=30_000)
        history = History(client, namespace, partitions=2)
        history.check()
        assert history.ended() == {"completed": 2}


@pytest.mark.one_partition
@pytest.mark.parametrize("when", ["while it runs", "while Redis is away"])
def test_outcomes_survive_a_restart_of_redis(
    make_broker: MakeBroker, run: Run, server: OwnServer, namespace: str, when: str
) -> None:
    broker = make_broker(url=server.url)
    go_on = threading.Event()
    runs = []

    @dramatiq.actor
    def work(number: int) -> int:
        current_job().output("begun")
        runs.append(number)
        go_on.wait(60)
        current_job().progress(99, "nearly")
        return number

    messages = [work.send(number) for number in range(3)]
    with run(broker):
        eventually(lambda: len(runs) == 3)
        server.kill()
        if when == "while Redis is away":
            go_on.set()
            time.sleep(0.3)
        server.start()
        go_on.set()
        broker.join("default", timeout=60_000)
        assert [message.get_result() for message in messages] == [0, 1, 2]
        assert work.send(3).get_result(block=True, timeout=30_000) == 3
    with redis.Redis.from_url(server.url) as client:
        history = History(client, namespace)
        history.check()
        for message in messages:
            kinds = history.types(message.message_id)
            assert (kinds.count("started"), kinds[-1]) == (1, "completed")
            assert kinds.count("output") == 1


def test_a_worker_that_starts_before_redis_works_when_it_comes(
    make_broker: MakeBroker, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.1)
    server = OwnServer(folder)
    broker = make_broker(url=server.url)
    done = threading.Event()

    @dramatiq.actor
    def work() -> None:
        done.set()

    try:
        with run(broker):
            time.sleep(0.2)
            server.start()
            work.send()
            assert done.wait(30)
            broker.join("default", timeout=30_000)
    finally:
        server.kill()


def test_a_worker_stops_although_redis_is_away(
    make_broker: MakeBroker, run: Run, server: OwnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triton.broker.dispatcher.DRAIN", 1.0)
    broker = make_broker(url=server.url)
    go_on, begun = threading.Event(), threading.Event()

    @dramatiq.actor
    def work() -> None:
        begun.set()
        go_on.wait(60)

    work.send()
    with run(broker) as worker:
        threads = list(worker.workers)
        assert begun.wait(30)
        server.kill()
        go_on.set()
    assert not any(thread.is_alive() for thread in threads), "it stopped, nobody gave up on it"


@pytest.mark.one_partition
def test_an_emptied_server_gets_a_new_log(
    make_broker: MakeBroker, run: Run, server: OwnServer, namespace: str
) -> None:
    broker = make_broker(url=server.url)

    @dramatiq.actor
    def work() -> None:
        pass

    with run(broker), redis.Redis.from_url(server.url) as client:
        work.send()
        broker.join("default", timeout=30_000)
        client.flushall()
        work.send()
        broker.join("default", timeout=30_000)
        history = History(client, namespace)
        eventually(lambda: history.ended() == {"completed": 1})
        history.check()


def heard(send: Callable[[], object]) -> None:
    """Send until an answer comes; now and then a call loses its reply, and those of all its repeats."""
    while True:
        try:
            send()
        except ConnectionClosed:
            continue
        return


@pytest.mark.one_server
def test_lost_replies_have_no_second_effect(
    make_broker: MakeBroker,
    run: Run,
    engines: Engines,
    folder: Path,
    namespace: str,
    history: History,
) -> None:
    """One reply in twelve is lost after the server acted, on the way of senders and of the worker."""
    socket = Path(engines.redis_url.removeprefix("unix://").partition("?")[0])
    proxy = CuttingProxy(folder / "p", socket)
    broker = make_broker(url=proxy.url)
    runs: dict[int, int] = {}

    @dramatiq.actor
    def follow(number: int) -> None:
        pass

    @dramatiq.actor(max_retries=1)
    def work(number: int) -> int:
        runs[number] = runs.get(number, 0) + 1
        current_job().output(f"{number}")
        if number % 5 == 0 and runs[number] == 1:
            raise ValueError("again")
        return number

    broker.join("default")
    proxy.chance = 1 / 12
    chains = []
    with run(broker, threads=4):
        for number in range(100):
            chains.append(work.message(number) | follow.message())
            heard(chains[-1].run)
        batch = [follow.message(number) for number in range(50)]
        heard(lambda: broker.enqueue_many(batch))
        eventually(lambda: history.ended().total() == 250, timeout=60)
        proxy.chance = 0.0
        broker.join("default", timeout=60_000)
    # How many trips there are depends on how much goes with each.
    assert proxy.cuts > 5
    assert history.ended() == {"completed": 250}
    history.check()
    for number, chain in enumerate(chains):
        kinds = history.types(chain.messages[0].message_id)
        again = ["retry_scheduled", "due", "started", "output"] if number % 5 == 0 else []
        assert kinds == ["submitted", "started", "output", *again, "completed"]
    assert runs == {number: 2 if number % 5 == 0 else 1 for number in range(100)}
    broker.close()
    proxy.close()


def test_what_is_not_given_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_REDIS_URL", "redis://127.0.0.1:2/0")
    monkeypatch.setenv("TRITON_NAMESPACE", "blue")
    monkeypatch.setenv("TRITON_PARTITIONS", "3")
    broker = TritonBroker()
    assert (broker.url, broker.namespace, broker.partitions) == ("redis://127.0.0.1:2/0", "blue", 3)
    given = TritonBroker(url="redis://127.0.0.1:3/0", namespace="green", partitions=1)
    assert (given.url, given.namespace, given.partitions) == ("redis://127.0.0.1:3/0", "green", 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "localhost:6379"}, "url of TritonBroker is 'localhost:6379': expected redis://"),
        ({"lease_ms": 5}, "lease_ms of TritonBroker is 5: expected a whole number"),
        ({}, "TRITON_REDIS_URL is 'nowhere': expected redis://"),
    ],
)
def test_a_wrong_argument_is_called_what_its_giver_calls_it(
    given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_REDIS_URL", "nowhere" if not given else "redis://127.0.0.1:2/0")
    with pytest.raises(ConfigurationError) as refused:
        TritonBroker(**given)
    assert str(refused.value).startswith(said)
