"""Owns what the tests of erasure share: a broker with a key store, and a look into all that is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.middleware import Retries
from stored import Platform

from triton import TritonBroker
from triton.stack.engines import Engines


@pytest.fixture
def keys_url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/keys"


@pytest.fixture
def make_broker(
    engines: Engines, namespace: str, redis_client: redis.Redis, keys_url: str
) -> Iterator[Callable[..., TritonBroker]]:
    before = dramatiq.broker.global_broker
    made: list[TritonBroker] = []

    def make(**options: Any) -> TritonBroker:
        options = {"subject_keys": keys_url, **options}
        broker = TritonBroker(url=engines.redis_url, namespace=namespace, **options)
        for each in broker.middleware:
            if isinstance(each, Retries):
                each.min_backoff, each.max_backoff = 5, 10
        dramatiq.set_broker(broker)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.close()
    dramatiq.broker.global_broker = before


@pytest.fixture
def broker(make_broker: Callable[..., TritonBroker]) -> TritonBroker:
    return make_broker()


@pytest.fixture
def platform(broker: TritonBroker, redis_client: redis.Redis) -> Platform:
    return Platform(broker, redis_client)
