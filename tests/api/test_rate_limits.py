"""How often one key and one address may ask, over all API processes, and how slowly a body may come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from live_api import LiveApi
from starlette.types import Message, Receive, Scope, Send

from triton.api.app import create_app
from triton.api.rate_limits import Rate, network_of, rate_of
from triton.api.time_limits import Pace, TimeLimitMiddleware
from triton.errors import ConfigurationError
from triton.events.client import connect_async
from triton.settings import Settings

WORKERS = "/api/v1/workers"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that stood still for a moment, with its machine, counts all the same."""
    monkeypatch.setattr("triton.api.rate_limits._TIMEOUT", 30.0)


@pytest.fixture
def settings(module_settings: Settings, namespace: str, patient: None) -> Settings:
    # A bucket that nobody has asked of, and that is not filled again while a test runs.
    name = f"{module_settings.namespace}.{namespace}"
    return msgspec.structs.replace(
        module_settings, namespace=name, rate_limit_key="0.01/5", rate_limit_address="0.01/12"
    )


@pytest.fixture
def limited(settings: Settings) -> Iterator[LiveApi]:
    with LiveApi(settings) as live:
        yield live


def asked(api: LiveApi, times: int, key: str = "") -> Counter[int]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Counter(api.http.get(WORKERS, headers=headers).status_code for _ in range(times))


def test_a_key_has_a_bucket_of_its_own_and_its_address_one_for_all(limited: LiveApi) -> None:
    assert asked(limited, 7, "one") == {200: 5, 429: 2}
    assert asked(limited, 7, "two") == {200: 5, 429: 2}
    # What was refused was not paid for: two are left of the address's twelve.
    assert asked(limited, 3, "three") == {200: 2, 429: 1}
    assert asked(limited, 1) == {429: 1}


def test_a_key_has_one_bucket_however_it_is_written(limited: LiveApi) -> None:
    written = [
        {"Authorization": f"{said}{' ' * n}one"} for n in (1, 3) for said in ("Bearer", "bEARER")
    ]
    asked = [*written, {"X-API-Key": "one"}, {"X-API-Key": "one"}]
    codes = [limited.http.get(WORKERS, headers=headers).status_code for headers in asked]
    assert codes == [200] * 5 + [429]


def test_a_refusal_says_when_to_ask_again(limited: LiveApi) -> None:
    first = limited.http.get(WORKERS, headers={"X-API-Key": "k"})
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("5", "4")
    for _ in range(5):
        answer = limited.http.get(WORKERS, headers={"X-API-Key": "k"})
    shown = answer.json()
    assert (answer.status_code, shown["code"]) == (429, "rate_limited")
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert shown["details"]["retry_after"] == int(answer.headers["retry-after"])
    assert shown["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_two_processes_share_the_buckets(limited: LiveApi, settings: Settings) -> None:
    with LiveApi(settings) as other:
        assert asked(limited, 3, "k") + asked(other, 3, "k") == {200: 5, 429: 1}


def test_probes_are_never_told_to_wait(limited: LiveApi) -> None:
    assert asked(limited, 13)[429] == 1
    for path in ("/health", "/health/ready", "/ready"):
        assert limited.http.get(path).status_code == 200


def test_an_address_is_the_client_s_behind_a_proxy_that_is_trusted(limited: LiveApi) -> None:
    def via(address: str) -> int:
        return limited.http.get(WORKERS, headers={"X-Forwarded-For": address}).status_code

    assert Counter(via("198.51.100.7") for _ in range(13)) == {200: 12, 429: 1}
    assert via("198.51.100.8") == 200


def test_without_a_setting_there_is_no_bucket_and_no_layer(module_settings: Settings) -> None:
    layers = [one.cls.__name__ for one in create_app(module_settings).user_middleware]
    assert "RateLimitMiddleware" not in layers


def test_a_redis_that_is_away_limits_nobody(settings: Settings) -> None:
    app = create_app(settings)

    async def ask() -> set[int]:
        async with connect_async("redis://127.0.0.1:1/0") as away:
            # `/` asks nothing of the services: only the limiter does.
            app.state.services = SimpleNamespace(redis=away)
            transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
                return {(await client.get("/")).status_code for _ in range(3)}

    assert asyncio.run(ask()) == {200}


@pytest.mark.parametrize("text", ["5", "5/", "0/5", "5/0", "-1/5", "a/b", "5/5/5", "1e9/5"])
def test_a_rate_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"TRITON_RATE_LIMIT_KEY is .*such as 50/200"):
        rate_of(text, "rate_limit_key")


def test_rates_and_networks() -> None:
    assert rate_of("0.5/20", "x") == Rate(0.5, 20)
    assert rate_of("", "x") is None
    assert network_of("203.0.113.9") == "203.0.113.9"
    assert network_of("::ffff:203.0.113.9") == "203.0.113.9"
    assert network_of("2001:db8:1:2:3::9") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:3::9") != network_of("2001:db8:1:2::9")
    assert network_of("testclient") == "testclient"


def test_a_stream_that_comes_back_is_told_to_wait_and_not_ended(limited: LiveApi) -> None:
    """A 429 is the end to a browser's EventSource."""
    asked(limited, 12)
    path, cursor = "/api/v1/events/subscribe", {"Last-Event-ID": "any"}
    answer = limited.http.get(path, headers=cursor)
    assert answer.status_code == 200
    assert answer.text.startswith("retry: ")
    assert '"reason":"limited"' in answer.text
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert limited.http.get(path).status_code == 429
    as_json = {**cursor, "Accept": "application/json"}
    assert limited.http.get(path, headers=as_json).status_code == 429


def test_a_body_has_to_keep_up() -> None:
    pace = Pace(rate=500, behind=20)
    for _ in range(1000):
        pace.came(5000, 9)
    assert pace.left == 20, "a slow link, in pieces"
    drips = 0
    while pace.left > 0:
        pace.came(1, 1)
        drips += 1
    assert drips == 21

    async def answered() -> int:
        async def drip() -> Message:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(1000):
                await receive()

        statuses = []

        async def send(message: Message) -> None:
            statuses.append(message.get("status"))

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await TimeLimitMiddleware(app, 3600, behind=0.1)(scope, drip, send)
        return statuses[0]

    assert asyncio.run(answered()) == 408
