"""Tries what a worker process says of itself: while it idles, runs, and after it has gone."""

from __future__ import annotations

import asyncio
import threading

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run

import triton
from eventually import eventually
from triton import keys
from triton.broker.pace import Pace
from triton.events.client import connect_async
from triton.events.registry import LiveWorker, read_workers


def living(url: str, namespace: str, partitions: int) -> list[LiveWorker]:
    async def read() -> list[LiveWorker]:
        async with connect_async(url) as client:
            return await read_workers(client, namespace, partitions)

    return asyncio.run(read())


@pytest.mark.usefixtures("quick_heart")
@pytest.mark.usefixtures("quick_heart")
@pytest.mark.parametrize("partitions", [1, 3])
def test_a_worker_is_known_with_what_it_runs(
    make_broker: MakeBroker,
    run: Run,
    redis_client: redis.Redis,
    namespace: str,
    partitions: int,
) -> None:
    broker = make_broker(partitions=partitions)
    go = threading.Event()

    @dramatiq.actor(queue_name="work")
    def work() -> None:
        go.wait(60)

    def workers() -> list[LiveWorker]:
        return living(broker.url, namespace, partitions)

    with run(broker, threads=2):
        (idle,) = eventually(workers)
        assert (idle.about.queues, idle.about.threads, idle.running) == (["work"], 2, [])
        assert idle.about.version == triton.__version__
        sent = {(work.send().message_id, "work") for _ in range(2)}
        eventually(
            lambda: {(runs.job, runs.actor) for w in workers() for runs in w.running} == sent
        )
        go.set()
        broker.join("work", timeout=30_000)
        eventually(lambda: [(w.about.ended, w.running) for w in workers()] == [({"work": 2}, [])])
    assert living(broker.url, namespace, partitions) == [], "it said that it goes"
    assert not redis_client.exists(keys.workers(keys.prefix(namespace, 0)))


def test_the_pace_is_that_of_the_last_minute() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    pace.add("a")
    pace.add("b")
    now = 130.5
    pace.add("a")
    assert pace.last_minute() == {"a": 2, "b": 1}
    now = 160.0
    assert pace.last_minute() == {"a": 1}
    now = 1_000.0
    assert pace.last_minute() == {}
