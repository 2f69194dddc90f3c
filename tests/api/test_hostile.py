"""What no honest client sends: every route refuses it in the one shape, and none breaks."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import httpx
import pytest
from alike import ALIKE
from live_api import LiveApi

from triton.api.problems import STATUS
from whole_api import whole_api

PATHS: Final = {
    path: methods
    for path, methods in whole_api().openapi()["paths"].items()
    if not re.search(ALIKE, path)
}
#: As they are on the wire.
VALUES: Final = (
    *("%00", "a%00b", "%ff", "%ed%a0%80", "%f0%9f%92%a9", "..%2f..%2fetc", "%2e%2e", "'%22;--"),
    *("-1", "9" * 30, "1e400", "NaN", "0x10", "true", "", "%20", "%0d%0aX-Evil:1", "x" * 3000),
    *("99999-01-01T00:00:00Z", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"),
    "%F0%90%80%80" * 60,
)
#: What the layers around all routes read is tried on these: on one of each kind.
WITH_HEADERS: Final = (
    "/api/v1/jobs",
    "/api/v1/jobs/bulk",
    "/api/v1/documents",
    "/api/v1/auth/login",
)
HEADERS: Final = (b"\xff\xfe", b"a\tb", b"%00", b"x" * 5000, b"", b"'; DROP TABLE jobs; --")
BODIES: Final = (
    b"",
    b"\x00",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"a":1}' * 2,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"actor":"a","args":[1e400]}',
    b'{"actor":"a","args":[NaN]}',
    b'{"actor":"a","args":[' + b"9" * 5000 + b"]}",
    b'{"actor":"a","args":["\\u0000"]}',
    b'{"actor":"a","args":["\\ud800"]}',
    b'{"actor":"a\\ud800"}',
    b'{"actor":"a\\u0000"}',
    b'{"actor":"a","kwargs":{"\\u0000":"\\ud800"}}',
    b'{"actor":"a","kwargs":{"":1}}',
    b'{"actor":"a","actor":"b"}',
    b'{"actor":"a","queue":"\\u0000"}',
    b'{"actor":"a","options":{"tenant":"\\u0000"}}',
    b'{"actor":"a","options":{"run_at":"0001-01-01T00:00:00+23:59"}}',
    b'{"actor":"a","options":{"run_at":"9999-12-31T23:59:59-23:59"}}',
    b'{"actor":"a","options":{"correlation":"\\u0007"}}',
    b'{"actor":"a","options":{"max_retries":99999999999999999999}}',
    b'{"actor":"a","options":{"unique":{"key":"\\u0000"}}}',
    b'{"jobs":[{"actor":"a\\ud800"},{"actor":"a","args":["\\u0000"]}],"mode":"partial"}',
    b'{"reason":"\\u0000"}',
    b'{"reason":"\\ud800"}',
    b'{"filter":{"queue":"\\ud800"},"dry_run":true}',
    b'{"filter":{"error":"\\u0000"},"dry_run":true}',
    b'{"filter":{"submitted_after":"0001-01-01T00:00:00+23:59"},"dry_run":true}',
    b'{"token":"\\u0000","reason":"x"}',
    b'{"token":"W10","reason":"x"}',
)


def operations(method: str) -> list[str]:
    return [path for path, methods in PATHS.items() if method in methods]


def parameters(path: str, method: str) -> list[str]:
    found = PATHS[path][method].get("parameters", ())
    return [one["name"] for one in found if one["in"] == "query"]


def firsts() -> dict[tuple[str, str], tuple[str, str]]:
    """For each kind of query parameter, by name and schema, the first operation that has it: the same few
    lines judge it everywhere."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    # The audit last: it reads the whole log for each answer.
    for path, methods in sorted(PATHS.items(), key=lambda one: ("/audit/" in one[0], one[0])):
        for method, operation in methods.items():
            for one in operation.get("parameters", ()):
                if one["in"] == "query":
                    kind = (one["name"], json.dumps(one["schema"], sort_keys=True))
                    found.setdefault(kind, (path, method))
    return found


FIRSTS: Final = firsts()


def alone(path: str, method: str) -> list[str]:
    """The query parameters that are tried one by one on this operation."""
    return [name for (name, _), where in FIRSTS.items() if where == (path, method)]


def judged(answer: httpx.Response, what: Any) -> None:
    assert answer.status_code != 500, (what, answer.text)
    if answer.status_code < 400:
        return
    assert answer.status_code in STATUS.values(), (what, answer.text)
    assert "x-evil" not in answer.headers, what
    if answer.status_code == 503 and "dependencies" in answer.text:
        return
    assert answer.json().keys() == {"code", "message", "details", "request_id"}, what
    assert answer.json()["code"] in STATUS, what


def send(api: LiveApi, method: str, target: str, **more: Any) -> httpx.Response | None:
    """The answer's head and, where it is no stream, its body; None for what httpx would not send as it is."""
    headers = {"Accept": "application/json", **more.pop("headers", {})}
    request = api.http.build_request(method, api.url, headers=headers, **more)
    request.url = request.url.copy_with(raw_path=target.encode("latin-1"))
    answer = api.http.send(request, stream=True)
    try:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer.read()
        return answer
    finally:
        answer.close()


@pytest.mark.parametrize("path", sorted(PATHS))
def test_odd_values_in_paths_and_queries(api: LiveApi, path: str) -> None:
    for method in PATHS[path]:
        places = [path.replace(f"{{{name}}}", "{}") for name in ("job_id", "name", "document_id")]
        template = next((place for place in places if "{}" in place), "")
        for value in VALUES:
            body = {"content": b"{}"} if method in ("post", "put", "patch") else {}
            if template:
                target = template.replace("{}", value)
                judged(send(api, method, target, **body), (method, target))
            fixed = path.replace("{job_id}", "j").replace("{name}", "n")
            fixed = fixed.replace("{document_id}", "d")
            # All at once, and each twice: which of two values counts must not matter.
            names = [name for name in parameters(path, method) if name != "proofs"]
            part = value[:1000]  # so that all of them fit into what the client sends at all
            queries = ["&".join(f"{name}={part}" for name in names)] if names else []
            if path in WITH_HEADERS or not names:
                # What is no parameter here: the same lines refuse it on all routes.
                queries.append(f"{value}={value}")
            for query in queries:
                target = f"{fixed}?{query}&{query}"
                judged(send(api, method, target, **body), (method, target))
            for name in set(alone(path, method)) - {"proofs"}:
                target = f"{fixed}?{name}={value}"
                judged(send(api, method, target, **body), (method, target))


@pytest.mark.parametrize("path", operations("post"))
def test_odd_bodies_and_headers(api: LiveApi, path: str) -> None:
    target = path.replace("{job_id}", "j").replace("{name}", "default")
    for body in BODIES:
        judged(send(api, "post", target, content=body), (target, body[:80]))
    if path not in WITH_HEADERS:
        return
    names = ("Idempotency-Key", "Traceparent", "Last-Event-ID", "X-Request-ID", "Content-Type")
    for name in (*names, "Accept", "Authorization", "If-None-Match", "X-Forwarded-For"):
        for value in HEADERS:
            given = {name.encode(): value}
            request = api.http.build_request("post", target, content=b'{"actor": "a"}')
            request.headers = httpx.Headers([*request.headers.raw, *given.items()])
            judged(api.http.send(request), (target, given))
