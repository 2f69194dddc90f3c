"""Tries that a worker says which queue each of its actors listens to."""

from __future__ import annotations

import dramatiq
import redis
from broker_kit import Run

from eventually import eventually
from triton import TritonBroker, keys


def test_workers_announce_the_queue_of_each_actor(
    broker: TritonBroker, run: Run, redis_client: redis.Redis
) -> None:
    """Without it a submit over HTTP that names no queue would wait in `default` for ever."""

    @dramatiq.actor(queue_name="reports")
    def render() -> None: ...

    @dramatiq.actor
    def tidy() -> None: ...

    key = keys.actors(broker.prefix_of(""))
    with run(broker):
        eventually(
            lambda: redis_client.hgetall(key) == {b"render": b"reports", b"tidy": b"default"}
        )
