"""What a browser may do with an answer, and what a client may do to a connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import httpx
import msgspec
import pytest
from live_api import LiveApi
from starlette.requests import Request

from eventually import eventually
from triton.api.protocol import MAX_HEAD, BoundedProtocol
from triton.api.security_headers import page_policy
from triton.settings import Settings

JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Any:
    settings = msgspec.structs.replace(
        module_settings,
        hsts_seconds=600,
        security_contact="mailto:security@example.org https://example.org/report",
    )
    live = LiveApi(settings)

    @live.server.app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    with live:
        yield live


@pytest.fixture(scope="module")
def hasty(module_settings: Settings) -> Iterator[LiveApi]:
    """A request has a second; one that is `/held` is never answered."""
    live = LiveApi(msgspec.structs.replace(module_settings, request_ms=1000))

    @live.server.app.post("/held")
    async def held(request: Request) -> None:
        await request.body()
        await asyncio.Event().wait()

    with live:
        yield live


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/health", 200), ("/nothing", 404), ("/broken", 500), (f"{JOBS}?limit=0", 422)],
)
def test_every_answer_says_that_a_browser_must_not_run_or_frame_it(
    api: LiveApi, path: str, status: int
) -> None:
    answer = api.http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["strict-transport-security"] == "max-age=600"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-request-id"]


def test_whom_to_tell_of_a_weakness_is_said(api: LiveApi) -> None:
    answer = api.http.get("/.well-known/security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    first, second, expires = answer.text.splitlines()
    assert (first, second) == (
        "Contact: mailto:security@example.org",
        "Contact: https://example.org/report",
    )
    assert datetime.now(UTC) < datetime.fromisoformat(expires.removeprefix("Expires: "))


def test_hsts_is_said_only_by_setting(module_settings: Settings) -> None:
    with LiveApi(module_settings) as plain:
        assert plain.http.get("/.well-known/security.txt").status_code == 404
        assert "strict-transport-security" not in plain.http.get("/health").headers


def test_a_module_for_other_pages_may_be_loaded_by_them(api: LiveApi) -> None:
    answer = api.http.get("/clients/triton.js")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_script_that_was_put_into_a_page_is_not_in_its_policy() -> None:
    policy = page_policy(b"<script>one()</script><script src='/a.js'></script>")
    assert policy.count("sha256-") == 1
    assert page_policy(b"<script>two()</script>") != policy
    assert "script-src 'self' 'sha256-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize(
    ("page", "drawn"), [("/docs", ".opblock"), ("/redoc", "h1"), ("/live", "#state")]
)
def test_pages_work_under_their_policy_and_without_another_host(
    api: LiveApi, browser: Any, page: str, drawn: str
) -> None:
    document = api.http.get("/openapi.json").json()
    # To draw all of them takes a browser seconds.
    document["paths"] = dict(list(document["paths"].items())[::8])
    with browser.new_page() as shown:
        shown.route("**/openapi.json", lambda route: route.fulfill(json=document))
        told: list[str] = []
        asked: set[str] = set()
        shown.on("pageerror", lambda error: told.append(str(error)))
        shown.on("console", lambda said: told.append(said.text) if said.type == "error" else None)
        shown.on("requestfinished", lambda request: asked.add(request.url))
        shown.goto(api.url + page)
        shown.wait_for_selector(drawn, timeout=60_000)
    # ReDoc asks for a picture of its maker's; the policy keeps it from leaving.
    assert [line for line in told if "cdn.redoc.ly" not in line] == []
    assert {url for url in asked if not url.startswith((api.url, "data:", "blob:"))} == set()


@pytest.mark.parametrize(
    "accept", ["application/problem+json", "text/html, application/PROBLEM+json;v=1"]
)
def test_problem_json_is_served_to_who_asks_for_it(api: LiveApi, accept: str) -> None:
    answer = api.http.get(f"{JOBS}?limit=0&status=odd", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/problem+json"
    shown = answer.json()
    assert shown["status"] == 422
    assert shown["title"].startswith("Unprocessable")
    assert shown["detail"] == shown["message"]
    assert {field["field"] for field in shown["details"]["fields"]} == {"limit", "status.0"}
    assert shown["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/problem+json;q=0"])
def test_plain_json_is_served_to_everybody_else(api: LiveApi, accept: str) -> None:
    answer = api.http.get("/nothing", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "x"])
def test_a_body_of_another_kind_is_415(api: LiveApi, kind: str) -> None:
    for path in (JOBS, f"{JOBS}/bulk", f"{JOBS}/cancel"):
        answer = api.http.post(path, content=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), path
    packed = api.http.post(JOBS, content=b'{"actor": "a"}', headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["details"]) == (415, {"expected": "identity"})
    fits = api.http.post(
        JOBS, content=b'{"actor": "a"}', headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert fits.status_code == 202


def test_a_given_request_id_is_what_the_job_belongs_to(api: LiveApi) -> None:
    sent = {"X-Request-ID": "order:7"}
    job = api.http.post(JOBS, json={"actor": "a"}, headers=sent).json()["id"]
    (event,) = api.http.get(f"{JOBS}/{job}/events").json()["events"]
    assert event["correlation"] == "order:7"
    said = {"actor": "a", "options": {"correlation": "mine"}}
    job = api.http.post(JOBS, json=said, headers=sent).json()["id"]
    assert api.http.get(f"{JOBS}/{job}").json()["correlation"] == "mine"
    made = api.http.post(f"{JOBS}/bulk", json={"jobs": [{"actor": "a"}]}, headers=sent).json()
    assert api.http.get(f"{JOBS}/{made['jobs'][0]['id']}").json()["correlation"] == "order:7"


def test_a_made_request_id_is_what_the_job_belongs_to_too(api: LiveApi) -> None:
    answer = api.http.post(JOBS, json={"actor": "a"})
    made, job = answer.headers["x-request-id"], answer.json()
    (event,) = api.http.get(f"{JOBS}/{job['id']}/events").json()["events"]
    assert event["correlation"] == job["correlation"] == made
    # A resend is another request: the job belongs to what made it.
    keyed = [
        api.http.post(JOBS, json={"actor": "a"}, headers={"Idempotency-Key": "once"}) for _ in "ab"
    ]
    assert [one.json()["existing"] for one in keyed] == [False, True]
    assert {one.json()["correlation"] for one in keyed} == {keyed[0].headers["x-request-id"]}


def test_what_a_request_does_to_a_job_names_the_request(api: LiveApi) -> None:
    made = api.http.post(JOBS, json={"actor": "a"}).json()
    job = f"{JOBS}/{made['id']}"
    requests = [
        api.http.post(f"{job}/{act}", json={"reason": "x"}).headers["x-request-id"]
        for act in ("cancel", "requeue")
    ]
    events = api.http.get(f"{job}/events").json()["events"]
    assert [event["causation"] for event in events] == ["", *(f"request:{one}" for one in requests)]
    # Whoever follows the job's batch is told of its end.
    assert {event["correlation"] for event in events} == {made["correlation"]}
    assert api.http.get(job).json()["causation"] == ""


def test_a_request_that_is_not_answered_in_time_is_503(hasty: LiveApi) -> None:
    answer = hasty.http.post("/held", content=b"x")
    assert (answer.status_code, answer.json()["code"]) == (503, "timeout")
    assert answer.headers["retry-after"] == "1"


def test_a_stream_is_older_than_a_request_may_be(api: LiveApi, hasty: LiveApi) -> None:
    with contextlib.ExitStack() as held:

        def opened() -> httpx.Response | None:
            # On a slow machine it, too, may not begin in time.
            opening = hasty.http.stream("GET", "/api/v1/queues/subscribe", timeout=30)
            answer = held.enter_context(opening)
            return answer if answer.status_code == 200 else None

        stream = eventually(opened)
        assert stream is not None
        lines = stream.iter_lines()
        assert next(line for line in lines if line)
        # The request's time of a second is over when the other one's is.
        assert hasty.http.post("/held", content=b"x").status_code == 503
        api.http.post(JOBS, json={"actor": "a", "queue": "fresh"})
        assert next(line for line in lines if "fresh" in line)


def raw(api: LiveApi, sent: bytes) -> tuple[int, dict[str, Any], bytes]:
    """What a bare socket is answered: status, body, head."""
    with socket.create_connection(("127.0.0.1", api.listener.getsockname()[1]), timeout=30) as wire:
        answered = b""
        # What is too large is refused, and the connection closed, before all of it is read.
        with contextlib.suppress(ConnectionError):
            wire.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while chunk := wire.recv(65536):
                answered += chunk
    head, _, body = answered.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), head.lower()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_same_shape(api: LiveApi, sent: bytes) -> None:
    status, shown, head = raw(api, sent)
    assert (status, shown["code"]) == (400, "malformed")
    assert shown["request_id"].encode() in head
    assert b"connection: close" in head


@pytest.mark.parametrize("whole", [True, False])
def test_a_head_is_bounded(api: LiveApi, whole: bool) -> None:
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEAD + 1000)
    status, shown, _ = raw(api, sent + b"\r\n\r\n" * whole)
    assert (status, shown["code"]) == (431, "headers_too_large")
    many = b"".join(b"X-%d: 1\r\n" % n for n in range(MAX_HEAD // 8))
    status, shown, _ = raw(api, b"GET / HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n" * whole)
    assert (status, shown["code"]) == (431, "headers_too_large")


def test_a_head_that_takes_too_long_is_refused(
    api: LiveApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    status, shown, _ = raw(api, b"GET / HTTP/1.1\r\nHost: a\r\n")
    assert (status, shown["code"]) == (408, "slow_request")
    # The same on a connection that was of use before, with time enough for what is whole.
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 2)
    first = b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.listener.getsockname()[1]), timeout=30) as wire:
        wire.sendall(first)
        with wire.makefile("rb") as answers:
            assert status_of(answers) == 404
            wire.sendall(b"GET / HT")
            assert status_of(answers) == 408
            assert answers.read() == b""


def test_the_rest_of_a_body_is_not_awaited_for_ever(
    api: LiveApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was answered before it came: to nobody in particular, who could hold a connection so."""
    monkeypatch.setattr(BoundedProtocol, "rest_seconds", 0.2)
    sent = b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.listener.getsockname()[1]), timeout=30) as wire:
        wire.sendall(sent)
        with wire.makefile("rb") as answers:
            assert status_of(answers) == 404
            wire.sendall(b"x")
            assert answers.read() == b""


def status_of(answers: BinaryIO) -> int:
    """Of the next answer, which is read to its end: it may come in any number of pieces."""
    status = int(answers.readline().split()[1])
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    assert len(answers.read(length)) == length
    return status
