"""The process around the routes: root, health, readiness, the listener, start and stop."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from live_api import Hand, LiveApi, project

import triton
from eventually import eventually
from triton.api.listener import listen
from triton.api.server import serve
from triton.errors import ConfigurationError, StartupError, UnavailableError
from triton.settings import Settings


def test_root_names_the_service_and_its_links_work(api: LiveApi) -> None:
    shown = api.http.get("/").json()
    assert (shown["name"], shown["version"]) == ("triton", triton.__version__)
    for name, link in shown["links"].items():
        answer = api.http.get(link)
        assert answer.status_code in (200, 405), (name, link)


def test_head_answers_as_get_does_without_a_body(api: LiveApi, hand: Hand) -> None:
    job = hand.submit("one")
    for path in (
        *("/", "/health", "/docs", "/openapi.json", "/clients/triton.js", "/nothing"),
        *(
            "/api/v1/jobs?limit=1",
            f"/api/v1/jobs/{job}",
            "/api/v1/jobs/nobody",
            "/api/v1/documents",
        ),
    ):
        whole, head = api.http.get(path), api.http.head(path)
        assert head.status_code == whole.status_code, path
        assert head.content == b""
        each = [dict(one.headers) for one in (whole, head)]
        for headers in each:
            del headers["date"], headers["x-request-id"]
        assert each[0] == each[1], path
    tag = api.http.head(f"/api/v1/jobs/{job}").headers["etag"]
    known = api.http.head(f"/api/v1/jobs/{job}", headers={"If-None-Match": tag})
    assert known.status_code == 304
    for path in (f"/api/v1/jobs/{job}/subscribe", "/api/v1/events/subscribe", "/api/v1/auth/login"):
        refused = api.http.head(path)
        assert (refused.status_code, "HEAD" in refused.headers["allow"]) == (405, False), path
    assert "HEAD" in api.http.delete("/api/v1/jobs").headers["allow"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_needs_no_other_host(api: LiveApi, page: str) -> None:
    shown = api.http.get(page)
    assert shown.status_code == 200
    assert not re.search("""https?://|["']//""", shown.text)
    links = re.findall(r"""(?:href|src|spec-url|url)\s*[=:]\s*["']([^"']+)""", shown.text)
    assert len(links) >= 3
    for link in links:
        assert api.http.get(link).status_code == 200, link


def test_ready_shows_each_dependency_and_how_far_the_projectors_are(
    api: LiveApi, hand: Hand
) -> None:
    hand.submit("one")
    project(api.settings)
    hand.submit("two")

    def ready() -> dict[str, Any]:
        """On a slow machine one may not answer in time."""
        answer = api.http.get("/health/ready")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    shown = eventually(ready)
    assert shown["dependencies"].keys() == {"redis", "postgres", "clickhouse", "archive", "feed"}
    assert all(found["ok"] for found in shown["dependencies"].values())
    assert all(found["latency_ms"] >= 0 for found in shown["dependencies"].values())
    (lag,) = shown["projectors"]
    assert (lag["projector"], lag["lag"], lag["forked"]) == ("postgres", 1, "")
    assert lag["lag_seconds"] > 0
    eventually(lambda: api.http.get("/ready").json()["projectors"][0]["lag"] == 1)
    with psycopg.connect(api.settings.database_url, autocommit=True) as database:
        (digest,) = database.execute("SELECT digest FROM checkpoints").fetchone() or ("",)
        database.execute("UPDATE checkpoints SET digest = 'another'")
        lag = eventually(
            lambda: next(
                (one for one in api.http.get("/ready").json()["projectors"] if one["forked"]), None
            )
        )
        database.execute("UPDATE checkpoints SET digest = %s", (digest,))
    assert "is not the one that was read" in lag["forked"]


def test_a_dependency_that_hangs_holds_up_no_other_and_the_process_lives(
    module_settings: Settings,
) -> None:
    """PostgreSQL and ClickHouse take connections, and say nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        hanging = msgspec.structs.replace(
            module_settings,
            database_url=f"postgresql://triton@{place}/triton?connect_timeout=60",
            clickhouse_url=f"http://{place}/",
        )
        with LiveApi(hanging) as api:

            def others_answer() -> bool:
                """In time, which on a slow machine may not be the first time."""
                shown = api.http.get("/ready").json()["dependencies"]
                assert not shown["postgres"]["ok"]
                late = "no answer within 2 s"
                reasons = (shown["postgres"]["reason"], shown["clickhouse"]["reason"])
                assert reasons == (late, late)
                return all(shown[name]["ok"] for name in ("redis", "archive", "feed"))

            eventually(others_answer)
            assert api.http.get("/health").json()["status"] == "ok"


def test_a_taken_port_is_one_clear_sentence(module_settings: Settings) -> None:
    with listen("127.0.0.1", 0, 1000) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port} on 127.0.0.1 is taken"):
            serve(msgspec.structs.replace(module_settings, port=port))


def test_a_missing_url_or_a_dead_redis_is_said_before_anything_is_served(
    module_settings: Settings,
) -> None:
    with pytest.raises(ConfigurationError, match="TRITON_REDIS_URL is not set"):
        serve(msgspec.structs.replace(module_settings, redis_url=""))
    dead = msgspec.structs.replace(module_settings, redis_url="redis://127.0.0.1:1/0", port=0)
    with pytest.raises(
        UnavailableError, match=r"Redis does not answer \(.*refused\): is it running"
    ):
        serve(dead)
    wrong = msgspec.structs.replace(module_settings, partitions=2, port=0)
    with pytest.raises(ConfigurationError, match="created with 1 partitions"):
        serve(wrong)


def test_several_partitions_are_followed_each_by_its_own_tail(module_settings: Settings) -> None:
    settings = msgspec.structs.replace(
        module_settings, namespace=f"{module_settings.namespace}.p", partitions=3
    )
    hand = Hand(settings.redis_url, settings.namespace, 3)
    with LiveApi(settings) as api:
        jobs: list[str] = []
        partitions: set[int] = set()
        while len(jobs) < 8 or len(partitions) < 2:
            jobs.append(api.http.post("/api/v1/jobs", json={"actor": "a"}).json()["id"])
            partitions.add(api.http.get(f"/api/v1/jobs/{jobs[-1]}").json()["partition"])
        for job in jobs:
            hand.run(job)
            with api.http.stream("GET", f"/api/v1/jobs/{job}/subscribe") as stream:
                assert b"triton.end" in b"".join(stream.iter_raw())
            events = api.http.get(f"/api/v1/jobs/{job}/events").json()["events"]
            assert [event["version"] for event in events] == [1, 2, 3, 4]


def test_stop_takes_no_longer_than_it_must(
    module_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for nothing; where it did, the helper would give up on it."""
    monkeypatch.setattr("triton.api.server.GRACE", 100)
    live = LiveApi(module_settings)
    with live:
        assert live.http.get("/health").status_code == 200
        live.stop()


def test_a_burst_of_requests_waits_its_turn_instead_of_failing(api: LiveApi, hand: Hand) -> None:
    """More at once than there are connections to Redis."""
    job = hand.submit("burst")

    async def burst() -> list[int]:
        limits = httpx.Limits(max_connections=250)
        async with httpx.AsyncClient(base_url=api.url, limits=limits, timeout=60) as client:
            reads = (client.get(f"/api/v1/jobs/{job}") for _ in range(150))
            submits = (client.post("/api/v1/jobs", json={"actor": "a"}) for _ in range(100))
            return [answer.status_code for answer in await asyncio.gather(*reads, *submits)]

    assert Counter(asyncio.run(burst())) == {200: 150, 202: 100}
