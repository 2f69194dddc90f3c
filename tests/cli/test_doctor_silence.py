"""The doctor at a server that takes connections and never answers: it says so, and soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from triton.cli.checks import redis
from triton.cli.checks.finding import findings
from triton.errors import UnavailableError
from triton.projections.lag import read_lag
from triton.settings import Settings


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def settings(server: socket.socket) -> Settings:
    return Settings(redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0")


def test_redis_is_asked_twice_and_not_for_a_minute(silent: socket.socket) -> None:
    with pytest.raises(RedisTimeoutError):
        list(redis.check(settings(silent), seconds=0.05))
    asked = 0
    with pytest.raises(BlockingIOError):
        while silent.accept():
            asked += 1
    assert asked == 2


def test_the_doctor_sends_nobody_to_the_doctor(silent: socket.socket) -> None:
    (found,) = findings("redis", partial(redis.check, seconds=0.05), settings(silent), "wait")
    assert found.what.startswith("Redis: Timeout")
    assert "triton doctor" not in found.what


def test_lag_that_cannot_be_read_in_time_is_said(silent: socket.socket) -> None:
    with pytest.raises(UnavailableError, match="did not both answer within"):
        read_lag(settings(silent), seconds=0.1)
