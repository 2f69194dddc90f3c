"""Owns what the broker's tests share: brokers that end with their test, workers, and reading the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
from broker_kit import MakeBroker, Run, StartCommand
from broker_log import History
from command import Command
from dramatiq import Worker
from dramatiq.middleware import default_middleware

from cluster_servers import PARTITIONS
from triton import TritonBroker
from triton.stack.engines import Engines


@pytest.fixture
def make_broker(
    engines: Engines, namespace: str, redis_client: redis.Redis
) -> Iterator[MakeBroker]:
    """Makes brokers of the test's namespace, the global broker among them; `quick` retries after 10 ms."""
    made: list[TritonBroker] = []

    def make(*, quick: bool = True, **options: Any) -> TritonBroker:
        options = {"url": engines.redis_url, "namespace": namespace, **options}
        broker = TritonBroker(**options)
        for middleware in broker.middleware:
            if quick and isinstance(middleware, dramatiq.middleware.Retries):
                middleware.min_backoff, middleware.max_backoff = 10, 20
            # What the `dramatiq` command does in each of its processes.
            middleware.after_process_boot(broker)
        dramatiq.set_broker(broker)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make_broker: MakeBroker) -> TritonBroker:
    """A broker with Dramatiq's default middleware, which is the global one too."""
    return make_broker()


@pytest.fixture
def run() -> Run:
    """`with run(broker, threads=4) as worker:` runs a worker of this process meanwhile."""

    @contextmanager
    def running(broker: TritonBroker, threads: int = 4, **options: Any) -> Iterator[Worker]:
        worker = Worker(broker, worker_timeout=50, worker_threads=threads, **options)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=60_000)

    return running


@pytest.fixture(autouse=True)
def partitions(
    request: pytest.FixtureRequest, on_cluster: bool, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Of the logs of a test that does not say how many: on a cluster so many that each primary has some,
    but for tests about what one partition holds."""
    one = not on_cluster or request.node.get_closest_marker("one_partition") is not None
    number = 1 if one else PARTITIONS
    if not one:
        monkeypatch.setenv("TRITON_PARTITIONS", str(number))
    return number


@pytest.fixture
def history(redis_client: redis.Redis, namespace: str, partitions: int) -> History:
    """The log of the test's namespace."""
    return History(redis_client, namespace, partitions)


@pytest.fixture
def quick_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process hear of a cancel soon, without leases that a slow machine would lose."""
    monkeypatch.setattr("triton.broker.pulse.MAX_HEARTBEAT", 0.3)


@pytest.fixture
def told_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers of this process look around by themselves later than any test waits for: who gets a
    job was told of it."""
    for module in ("working", "bells", "dispatcher"):
        monkeypatch.setattr(f"triton.broker.{module}.IDLE_BLOCK", 100.0)


@pytest.fixture
def stock_middleware() -> Callable[[], list[dramatiq.Middleware]]:
    """Dramatiq's default middleware, new objects at each call."""
    return lambda: [middleware() for middleware in default_middleware]


@pytest.fixture
def start(tmp_path: Path, engines: Engines, namespace: str) -> Iterator[StartCommand]:
    """Starts the command on the test's namespace; what of it still lives at the end is killed."""
    started: list[Command] = []

    def command(
        *options: str,
        app: str = "crash_app",
        lease_ms: int = 15_000,
        max_deaths: int = 3,
        **settings: object,
    ) -> Command:
        folder = tmp_path / f"command{len(started)}"
        folder.mkdir()
        environment = {
            "TRITON_REDIS_URL": engines.redis_url,
            "TRITON_NAMESPACE": namespace,
            "TRITON_LEASE_MS": str(lease_ms),
            "TRITON_MAX_DEATHS": str(max_deaths),
            **{f"TRITON_{name.upper()}": str(value) for name, value in settings.items()},
        }
        started.append(Command(folder, environment, *options, app=app))
        return started[-1]

    yield command
    for each in started:
        each.kill()
