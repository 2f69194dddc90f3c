"""Who submits by an actor's name seals too, by what its workers announced; and nobody is shown values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import httpx
import msgspec
import pytest
from dramatiq import Message
from stored import Platform

from triton import TritonBroker, migrate
from triton.erasure.keyring import keyring_of
from triton.settings import Settings
from triton.stack.engines import Engines
from triton.submitter import Refused, Submitter

sys.path.append(str(Path(__file__).parents[1] / "api"))

from live_api import LiveApi

SECRET = "bob@example.org"


@pytest.fixture
def chosen(
    engines: Engines, database_url: str, namespace: str, tmp_path: Path, keys_url: str
) -> Settings:
    migrate.up(database_url)
    return Settings(
        auth="off",
        redis_url=engines.redis_url,
        database_url=database_url,
        clickhouse_url=engines.clickhouse_url,
        archive_url=(tmp_path / "archive").as_uri(),
        namespace=namespace,
        subject_keys=keys_url,
        subject_cache_ms=0,
    )


@pytest.fixture
def seen(platform: Platform) -> list[Any]:
    """What the actor got; its workers have announced it."""
    got: list[Any] = []

    @dramatiq.actor(
        max_retries=0,
        personal={"subject": "user", "fields": ["email", "user"], "result": True, "output": True},
    )
    def mail(user: str, email: str, fail: bool = False) -> str:
        got.append((user, email))
        if fail:
            raise ValueError(f"no {email}")
        return email

    platform.run()
    return got


def test_over_http_values_are_sealed_and_never_shown(
    chosen: Settings, platform: Platform, seen: list[Any]
) -> None:
    with LiveApi(chosen) as api, httpx.Client(base_url=f"{api.url}/api/v1") as http:
        calls = [
            {"actor": "mail", "args": ["bob"], "kwargs": {"email": SECRET}},
            {"actor": "mail", "args": ["bob", SECRET, True]},
        ]
        single = http.post("/jobs", json=calls[0]).json()["id"]
        bulk = http.post("/jobs/bulk", json={"jobs": calls}).json()["jobs"]
        assert SECRET.encode() not in platform.dump()
        platform.run()

        assert seen == [("bob", SECRET)] * 3
        assert SECRET.encode() not in platform.dump()
        job = http.get(f"/jobs/{single}").json()
        assert job["result"] == "[personal]"
        failed = http.get(f"/jobs/{bulk[1]['id']}").json()
        assert (failed["args"], failed["error"]["type"]) == (
            ["[personal]", "[personal]", True],
            "ValueError",
        )
        assert failed["error"]["message"] == "[personal]"
        http.post(f"/jobs/{bulk[1]['id']}/requeue", json={"reason": "again"})
        platform.run()
        assert seen[3:] == [("bob", SECRET)]
        told = http.get(f"/jobs/{bulk[1]['id']}/explain").text
        assert "[personal]" in told
        assert "triton.personal" not in told

        keyring_of(chosen).destroy("default", "bob")
        refused = http.post("/jobs", json=calls[0])
        assert (refused.status_code, refused.json()["code"]) == (410, "erased")
        receipts = http.post("/jobs/bulk", json={"jobs": calls, "mode": "partial"}).json()["jobs"]
        assert [receipt["error"]["code"] for receipt in receipts] == ["erased", "erased"]


def test_a_relay_seals_what_it_submits(
    chosen: Settings, platform: Platform, seen: list[Any]
) -> None:
    submitter = Submitter(chosen)
    outcomes = submitter.submit(
        [
            Message("default", "mail", ("bob", SECRET), {}, {}),
            Message("default", "mail", (None, SECRET), {}, {}),
        ]
    )
    submitter.close()

    assert SECRET.encode() not in platform.dump()
    assert isinstance(outcomes[1], Refused)
    assert "user names the data subject of mail" in outcomes[1].reason
    platform.run()
    assert seen == [("bob", SECRET)]


def test_without_the_store_a_sender_by_name_refuses(
    chosen: Settings, platform: Platform, seen: list[Any], make_broker: Callable[..., TritonBroker]
) -> None:
    with (
        LiveApi(msgspec.structs.replace(chosen, subject_keys="")) as api,
        httpx.Client(base_url=f"{api.url}/api/v1") as http,
    ):
        answer = http.post("/jobs", json={"actor": "mail", "args": ["bob", SECRET]})
        assert "TRITON_SUBJECT_KEYS is not set" in answer.json()["message"]
        assert SECRET.encode() not in platform.dump()
    assert seen == []
