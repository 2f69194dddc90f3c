"""Owns the pytest fixtures: `pytest_plugins = ["triton.testing.plugin"]` in a conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from triton.testing.jobs import Jobs, jobs_in_process
from triton.testing.server import valkey


@pytest.fixture(scope="session")
def triton_redis_url() -> Iterator[str]:
    """A Valkey from the wheel, once per session. Override it to use a server of your own."""
    with valkey() as url:
        yield url


@pytest.fixture
def triton_jobs(triton_redis_url: str) -> Iterator[Jobs]:
    """The actors of the global broker, run in this process, with an empty log."""
    with jobs_in_process(triton_redis_url) as jobs:
        yield jobs
