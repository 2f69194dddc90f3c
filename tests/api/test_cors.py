"""Pages of other origins: exactly the named ones, with credentials, on every kind of answer."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec
import pytest
from chromium import Browser
from live_api import Hand, LiveApi

from triton.api.cors import origins_of
from triton.errors import ConfigurationError
from triton.settings import Settings

PAGE = "https://app.example.com"
OTHER = "http://localhost:5173"


@pytest.fixture(scope="module")
def cors_api(module_settings: Settings) -> Iterator[LiveApi]:
    settings = msgspec.structs.replace(module_settings, cors_origins=f"{PAGE}, {OTHER}")
    with LiveApi(settings) as live:
        yield live


def granted(answer: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "https://*.example.com",
        "https://app.example.com/",
        "app.example.com",
        "https://a.example.com,file://",
        "https://user@example.com",
        "https://a.example.com https://b.example.com",
    ],
)
def test_what_is_no_exact_origin_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="TRITON_CORS_ORIGINS"):
        origins_of(text)


def test_origins_are_spelt_as_browsers_spell_them() -> None:
    text = "HTTPS://App.Example.com:443, http://[::1]:80 ,http://localhost:8080,"
    assert origins_of(text) == {"https://app.example.com", "http://[::1]", "http://localhost:8080"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_of_a_named_origin_is_granted(cors_api: LiveApi, method: str) -> None:
    answer = cors_api.http.options(
        "/api/v1/events/subscribe",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": (
                "authorization, last-event-id,content-type,if-match,idempotency-key,x-request-id"
            ),
        },
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert method in answer.headers["access-control-allow-methods"]
    assert "Last-Event-ID" in answer.headers["access-control-allow-headers"]
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.org",
        "https://app.example.com:8443",
        "null",
        "",
    ],
)
def test_no_other_origin_is_granted_anything(cors_api: LiveApi, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    preflight = cors_api.http.options("/api/v1/jobs", headers=asked)
    assert "access-control-allow-origin" not in preflight.headers
    answer = cors_api.http.get("/api/v1/jobs", headers={"Origin": origin})
    assert (answer.status_code, granted(answer)) == (200, {})
    assert "Origin" in answer.headers["vary"]


def test_every_kind_of_answer_can_be_read_by_a_named_origin(cors_api: LiveApi, hand: Hand) -> None:
    """Also errors of each layer, and what crashed: a page must be able to tell them apart."""
    crash = cors_api.server.app

    @crash.get("/crash")
    async def crashes() -> None:
        raise RuntimeError("a bug")

    job = hand.run(hand.submit())
    for path, status in (
        ("/health", 200),
        (f"/api/v1/jobs/{job}", 200),
        (f"/api/v1/jobs/{job}/subscribe", 200),
        ("/api/v1/jobs/nobody", 404),
        ("/api/v1/jobs?limit=x", 422),
        ("/nothing", 404),
        ("/crash", 500),
    ):
        answer = cors_api.http.get(path, headers={"Origin": OTHER})
        assert answer.status_code == status, path
        assert answer.headers["access-control-allow-origin"] == OTHER, path
        assert answer.headers["access-control-allow-credentials"] == "true", path
        exposed = answer.headers["access-control-expose-headers"]
        assert {"ETag", "X-Request-ID", "Retry-After"} <= set(exposed.split(", ")), path
        assert "Origin" in answer.headers["vary"], path


def test_a_wildcard_never_comes_with_credentials(cors_api: LiveApi) -> None:
    """The client's module is for every page; its `*` must not meet a grant of credentials."""
    answer = cors_api.http.get("/clients/triton.js", headers={"Origin": "https://evil.example.com"})
    assert granted(answer) == {"access-control-allow-origin": "*"}
    named = cors_api.http.get("/clients/triton.js", headers={"Origin": PAGE})
    assert named.headers.get_list("access-control-allow-origin") == [PAGE]


def test_without_the_setting_nothing_is_granted(api: LiveApi) -> None:
    answer = api.http.get("/api/v1/jobs", headers={"Origin": PAGE})
    assert granted(answer) == {}
    assert api.http.options("/api/v1/jobs", headers={"Origin": PAGE}).status_code == 405


def test_a_browser_follows_across_origins_only_where_it_is_named(
    browser: Browser, module_settings: Settings, api: LiveApi, hand: Hand
) -> None:
    """The page comes from one server, the stream from another."""
    job = hand.run(hand.submit())
    settings = msgspec.structs.replace(module_settings, cors_origins=api.url)
    page = browser.new_page(bypass_csp=True)
    with LiveApi(settings) as named, LiveApi(module_settings) as unnamed:
        for source, heard in ((named.url, "triton.end"), (unnamed.url, "error")):
            page.goto(f"{api.url}/health")
            found = page.evaluate(
                """url => new Promise((done) => {
                    const source = new EventSource(url, {withCredentials: true});
                    source.addEventListener("triton.end", () => { source.close(); done("triton.end"); });
                    source.onerror = () => { if (source.readyState === 2) done("error"); };
                })""",
                f"{source}/api/v1/jobs/{job}/subscribe",
            )
            assert found == heard
    page.close()
