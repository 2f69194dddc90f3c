"""What users write in their own tests: it runs, it needs no other engine, and it fails where it should."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import pytest
import redis
from dramatiq.brokers.stub import StubBroker

import triton
from triton.stack.engines import Engines
from triton.testing import Jobs, jobs_in_process

SHOP = """
import dramatiq
from dramatiq.brokers.stub import StubBroker

dramatiq.set_broker(StubBroker())


@dramatiq.actor
def ship(order):
    return f"shipped {order}"


@dramatiq.actor(max_retries=1)
def charge(order):
    if order == "bad":
        raise ValueError("no such card")
    ship.send(order)
    return 12
"""
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "testing.md"


@pytest.fixture
def app() -> Iterator[StubBroker]:
    before = dramatiq.broker.global_broker
    broker = StubBroker()
    dramatiq.set_broker(broker)
    yield broker
    dramatiq.broker.global_broker = before


@pytest.fixture
def jobs(engines: Engines, app: StubBroker) -> Iterator[Jobs]:
    @dramatiq.actor
    def double(number: int) -> int:
        triton.current_job().progress(50, "half")
        return 2 * number

    @dramatiq.actor(max_retries=2)
    def fail() -> None:
        raise KeyError("lost")

    @dramatiq.actor
    def parent() -> None:
        double.send(4)

    with jobs_in_process(engines.redis_url) as running:
        yield running


def test_a_job_and_its_events(jobs: Jobs) -> None:
    message = jobs.broker.get_actor("double").message(21)
    events = jobs.run(message)
    kinds = ["job.submitted", "job.started", "job.progressed", "job.completed"]
    assert [event.type for event in events] == kinds == jobs.types(message)
    assert jobs.assert_completed(message) == 42


def test_a_failure_with_its_retries(jobs: Jobs) -> None:
    message = jobs.broker.get_actor("fail").message()
    assert [e.type for e in jobs.run(message)].count("job.retry_scheduled") == 2
    assert jobs.assert_failed(message, error="KeyError").reason
    with pytest.raises(AssertionError, match="not of ValueError"):
        jobs.assert_failed(message, error="ValueError")
    with pytest.raises(AssertionError, match=r"did not complete.*KeyError"):
        jobs.assert_completed(message)


def test_what_a_job_sends_runs_too(jobs: Jobs) -> None:
    jobs.broker.get_actor("parent").send()
    jobs.run_all()
    assert not any(jobs.broker.count("default").values())


def test_a_job_that_does_not_end_in_time_is_said(jobs: Jobs) -> None:
    later = jobs.broker.get_actor("double").send_with_options(args=(1,), delay=60_000)
    with pytest.raises(AssertionError, match=r"did not end within 0.1 s: job.submitted"):
        jobs.ended(later, timeout=0.1)
    with pytest.raises(AssertionError, match="never sent"):
        jobs.ended("nobody", timeout=0.1)


def test_afterwards_everything_is_as_it_was(
    engines: Engines, app: StubBroker, redis_client: redis.Redis
) -> None:
    @dramatiq.actor
    def nothing() -> None: ...

    with jobs_in_process(engines.redis_url) as running:
        namespace = running.broker.namespace
        running.run(nothing.message())
    assert nothing.broker is app is dramatiq.get_broker()
    assert not list(redis_client.scan_iter(f"*{namespace}*"))
    nothing.send()
    assert app.queues["default"].qsize() == 1


def test_the_guide_as_a_user_types_it(tmp_path: Path) -> None:
    """The guide's own tests, in a pytest of their own that starts the Valkey of the wheel and no more."""
    blocks = [part.split("```")[0] for part in GUIDE.read_text().split("```python\n")[1:]]
    named = {block.splitlines()[0].removeprefix("# "): block for block in blocks if block[0] == "#"}
    (tmp_path / "shop.py").write_text(SHOP)
    for name in ("conftest.py", "test_shop.py", "test_stub.py"):
        (tmp_path / name).write_text(named[name])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
