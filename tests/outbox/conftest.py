"""Owns what the outbox's tests share: an application's database with the outbox, and relays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from triton import TritonBroker, migrate
from triton.settings import Settings
from triton.stack.engines import Engines

sys.path.append(str(Path(__file__).parents[1] / "broker"))

from broker_log import History
from relay_process import RelayProcess


@pytest.fixture
def outbox_url(database_url: str) -> str:
    """The URL of a database with the outbox in it."""
    migrate.up(database_url, outbox=True)
    return database_url


@pytest.fixture
def app(outbox_url: str) -> Iterator[psycopg.Connection]:
    """The application's connection; transactions begin and end as it says."""
    with psycopg.connect(outbox_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings(
    engines: Engines, outbox_url: str, namespace: str, redis_client: redis.Redis
) -> Settings:
    return Settings(redis_url=engines.redis_url, outbox_url=outbox_url, namespace=namespace)


@pytest.fixture
def history(redis_client: redis.Redis, namespace: str) -> History:
    return History(redis_client, namespace)


@pytest.fixture
def broker(settings: Settings) -> Iterator[TritonBroker]:
    """A broker that is not the global one."""
    made = TritonBroker(url=settings.redis_url, namespace=settings.namespace)
    yield made
    made.close()


@pytest.fixture
def relay(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], RelayProcess]]:
    """Starts relays, and ends those that still run."""
    started: list[RelayProcess] = []

    def start() -> RelayProcess:
        started.append(RelayProcess(settings, tmp_path / "relay.log"))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()
