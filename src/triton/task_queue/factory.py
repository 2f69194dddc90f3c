"""Owns which task queue it is: by the settings, or by the broker."""

from __future__ import annotations

from dramatiq.broker import Broker

from triton.broker import TritonBroker
from triton.errors import ConfigurationError
from triton.settings import Settings, load
from triton.task_queue.dramatiq_queue import DramatiqTaskQueue
from triton.task_queue.protocol import TaskQueue
from triton.task_queue.triton_queue import TritonTaskQueue
from triton.worker import broker_of


def open_task_queue(settings: Settings | None = None) -> TaskQueue:
    """The queue that TRITON_TASK_QUEUE names, on TRITON_REDIS_URL.

    Give its `broker` to `dramatiq.set_broker` before actors are declared. Raises ConfigurationError where
    no Redis is named, or its URL cannot be used.
    """
    chosen = settings or load()
    if not chosen.redis_url:
        raise ConfigurationError(
            "TRITON_REDIS_URL is not set: name the Redis that holds the queue", setting="redis_url"
        )
    if chosen.task_queue == "triton":
        return TritonTaskQueue(broker_of(chosen))
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    try:
        broker = RedisBroker(url=chosen.redis_url)
    except ValueError as error:
        raise ConfigurationError(
            f"TRITON_REDIS_URL cannot be used: {error}; expected redis://host:port/db",
            setting="redis_url",
        ) from error
    broker.add_middleware(Results(backend=RedisBackend(url=chosen.redis_url), store_results=True))
    return DramatiqTaskQueue(broker)


def task_queue_on(broker: Broker) -> TaskQueue:
    """The queue on a broker that is there already."""
    return (
        TritonTaskQueue(broker) if isinstance(broker, TritonBroker) else DramatiqTaskQueue(broker)
    )
