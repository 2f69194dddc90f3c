"""What is said of a Redis whose disk is full: it answers, and takes no event."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from live_api import Hand, LiveApi
from redis.exceptions import ResponseError

from eventually import eventually
from redis_server import RedisServer, valkey_binary
from triton.cli.checks.redis import check
from triton.settings import Settings

CANNOT = {"ok": False, "reason": "it cannot write its files"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(valkey_binary(), tmp_path, "--appendonly", "yes")
    try:
        yield server
    finally:
        server.stop()


def test_readiness_and_doctor_say_that_it_cannot_write(
    module_settings: Settings, server: RedisServer
) -> None:
    """Who only reads takes it for ready, and who pings takes it for away: it refuses that, too."""
    settings = msgspec.structs.replace(module_settings, redis_url=server.url, namespace="full")
    hand = Hand(settings.redis_url, settings.namespace)
    hand.submit("before")

    def said_of_redis() -> dict[str, object]:
        found = api.http.get("/health/ready").json()["dependencies"]["redis"]
        return {name: found[name] for name in ("ok", "reason")}

    def doctors() -> list[str]:
        return [one.what for one in check(settings) if one.level == "fail"]

    with LiveApi(settings) as api:
        eventually(lambda: said_of_redis()["ok"])
        with server.full_disk():
            # What fails first is this write, and later ones are refused.
            with contextlib.suppress(ResponseError), server.client() as client:
                client.set("one", "more")
            eventually(lambda: said_of_redis() == CANNOT)
            assert api.http.get("/health/ready").status_code == 503
            assert doctors() == [
                "the append-only file could not be written: Redis takes no event until it can"
            ]
        eventually(lambda: said_of_redis()["ok"])
        hand.submit("after")
        assert doctors() == []
