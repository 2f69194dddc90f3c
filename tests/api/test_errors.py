"""One error shape for everything that is wrong, and a request id that goes in and comes out."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import msgspec
import pytest
from live_api import LiveApi

from eventually import eventually
from triton.events.client import connect
from triton.settings import Settings

JOBS = "/api/v1/jobs"


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    shown: dict[str, Any] = answer.json()
    assert shown.keys() == {"code", "message", "details", "request_id"}
    assert shown["code"] == code
    assert shown["message"]
    assert shown["request_id"] == answer.headers["x-request-id"]
    return shown


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", f"{JOBS}/", 404, "not_found"),
        ("GET", f"{JOBS}/nobody", 404, "not_found"),
        ("GET", f"{JOBS}/nobody/subscribe", 404, "not_found"),
        ("GET", "/api/v1/documents/nothing", 404, "not_found"),
        ("DELETE", JOBS, 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", f"{JOBS}?limit=0", 422, "validation"),
        ("GET", f"{JOBS}?limit=x", 422, "validation"),
        ("GET", f"{JOBS}?status=odd", 422, "validation"),
        ("GET", f"{JOBS}?next=odd", 422, "validation"),
        ("GET", f"{JOBS}?next=W10", 422, "validation"),
        ("GET", f"{JOBS}?submitted_after=2026-01-01T00:00:00", 422, "validation"),
        ("GET", f"{JOBS}?queue=%00", 422, "validation"),
        ("GET", f"{JOBS}/x/events?after_version=-1", 422, "validation"),
        ("GET", f"{JOBS}/%00", 422, "validation"),
        ("GET", "/api/v1/documents/%00", 422, "validation"),
        ("GET", f"{JOBS}/%ff", 404, "not_found"),
        ("GET", f"{JOBS}/" + "x" * 500, 422, "validation"),
    ],
)
def test_every_refusal_has_the_one_shape(
    api: LiveApi, method: str, path: str, status: int, code: str
) -> None:
    problem(api.http.request(method, path), status, code)


def test_a_full_redis_is_called_full(api: LiveApi, module_settings: Settings) -> None:
    with connect(module_settings.redis_url) as client:
        client.config_set("maxmemory", 1)
        try:
            shown = problem(api.http.post(JOBS, json={"actor": "a"}), 503, "unavailable")
        finally:
            client.config_set("maxmemory", 0)
    assert "Redis is full" in shown["message"]


@pytest.mark.parametrize(
    ("method", "path", "unknown", "known"),
    [
        ("GET", f"{JOBS}?bogus=1&from=2", ["bogus", "from"], "submitted_after"),
        ("GET", f"{JOBS}?cursor=x&limit=1", ["cursor"], "next"),
        ("GET", f"{JOBS}/x%2Fy/events?since=1", ["since"], "after_version"),
        ("GET", "/api/v1/dead-letters?since=1", ["since"], "failed_after"),
        ("POST", f"{JOBS}/x/cancel?dry_run=true", ["dry_run"], "there are none here"),
        ("POST", "/api/v1/documents?name=x", ["name"], "filename"),
    ],
)
def test_an_unknown_parameter_is_refused_and_the_known_ones_are_named(
    api: LiveApi, method: str, path: str, unknown: list[str], known: str
) -> None:
    """A filter with a slip in its name must not answer with everything."""
    shown = problem(api.http.request(method, path), 422, "validation")
    assert [field["field"] for field in shown["details"]["fields"]] == unknown
    assert all(known in field["message"] for field in shown["details"]["fields"])


def test_the_parameters_that_a_refusal_names_are_those_of_the_document(api: LiveApi) -> None:
    for path, operations in api.http.get("/openapi.json").json()["paths"].items():
        if not path.startswith("/api/"):
            continue
        for method, operation in operations.items():
            known = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
            told = f"known are {', '.join(known)}" if known else "there are none here"
            answer = api.http.request(method, re.sub(r"\{[^}]+\}", "x", path) + "?bogus=1")
            shown = problem(answer, 422, "validation")
            assert shown["message"] == f"bogus: is not a known parameter; {told}", (method, path)


def test_the_first_request_with_a_parameter_makes_no_document(api: LiveApi) -> None:
    """That took half a second, in which nobody else was answered."""
    with LiveApi(api.settings) as fresh:
        assert fresh.http.get(f"{JOBS}?limit=1").status_code == 200
        problem(fresh.http.get(f"{JOBS}?bogus=1"), 422, "validation")
        assert fresh.server.app.openapi_schema is None


def test_a_slash_in_a_name_is_a_slash_in_every_route(api: LiveApi) -> None:
    """Not what stands for it on the way through the router."""
    for path, operations in api.http.get("/openapi.json").json()["paths"].items():
        for method in operations if "{" in path else ():
            url = re.sub(r"\{[^}]+\}", "a%2Fb", path)
            answer = api.http.request(
                method, url, json={"disabled": True}, headers={"If-Match": "*"}
            )
            assert answer.status_code >= 400, (method, path)
            assert "ufdd0" not in ascii(answer.text), (method, path, answer.text)


def test_a_method_that_is_not_allowed_names_all_that_are(api: LiveApi) -> None:
    assert api.http.delete(JOBS).headers["allow"] == "GET, HEAD, POST"
    assert api.http.put(f"{JOBS}/some/explain").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        (b"", 400, "malformed", None),
        (b"{", 400, "malformed", None),
        (b"\xff", 400, "malformed", None),
        (b"[" * 100_000, 400, "malformed", None),
        (b"[]", 422, "validation", [""]),
        (b"{}", 422, "validation", ["actor"]),
        (b'{"actor": ""}', 422, "validation", ["actor"]),
        (b'{"actor": 1, "args": {}, "what": 1}', 422, "validation", ["actor", "args", "what"]),
        (
            b'{"actor": "a", "options": {"priority": 5000}, "queue": 7}',
            422,
            "validation",
            ["queue", "options.priority"],
        ),
        (b'{"actor": "a", "options": {"delay_ms": -1}}', 422, "validation", ["options.delay_ms"]),
        (
            b'{"actor": "a", "options": {"huh": 1, "ttl_ms": 0, "unique": {"win": 1}}}',
            422,
            "validation",
            ["options.ttl_ms", "options.unique.win", "options.huh"],
        ),
        (b'{"actor": "a\\u0007"}', 422, "validation", ["actor"]),
        (b'{"actor": "a", "kwargs": [1]}', 422, "validation", ["kwargs"]),
    ],
)
def test_a_body_that_does_not_fit_is_explained_field_by_field(
    api: LiveApi, body: bytes, status: int, code: str, fields: list[str] | None
) -> None:
    shown = problem(api.http.post(JOBS, content=body), status, code)
    if fields is not None:
        assert [field["field"] for field in shown["details"]["fields"]] == fields
        assert all(field["message"] for field in shown["details"]["fields"])


def test_an_unknown_option_is_answered_with_the_known_ones(api: LiveApi) -> None:
    shown = problem(
        api.http.post(JOBS, json={"actor": "a", "options": {"delay": 1}}), 422, "validation"
    )
    (field,) = shown["details"]["fields"]
    assert field["field"] == "options.delay"
    assert "delay_ms, run_at, ttl_ms" in field["message"]


def test_a_body_that_is_too_large_is_refused(api: LiveApi) -> None:
    # Large arguments go into the archive, and there is an end to what one request may bring.
    assert api.http.post(JOBS, json={"actor": "a", "args": ["x" * 600_000]}).status_code == 202
    message = {"actor": "a", "args": ["x" * 1_100_000]}
    problem(api.http.post(JOBS, json=message), 413, "too_large")


def test_a_request_id_is_taken_over_or_made(api: LiveApi) -> None:
    given = api.http.get("/health", headers={"X-Request-ID": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    made = {api.http.get("/health").headers["x-request-id"] for _ in range(2)}
    assert len(made) == 2
    forged = api.http.get("/nothing", headers={"X-Request-ID": "a b<script>"})
    assert forged.headers["x-request-id"] not in ("", "a b<script>")
    assert len(forged.headers.get_list("x-request-id")) == 1


def test_a_bug_of_ours_is_500_in_the_same_shape_and_tells_nothing(
    module_settings: Settings,
) -> None:
    live = LiveApi(module_settings)

    @live.server.app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("secret detail")

    with live as api:
        answer = api.http.get("/broken", headers={"X-Request-ID": "trace-me"})
        shown = problem(answer, 500, "internal")
        assert shown["request_id"] == "trace-me"
        assert "secret" not in answer.text
        assert len(answer.headers.get_list("x-request-id")) == 1


def test_an_engine_that_is_away_is_503_and_what_needs_it_not_still_works(
    module_settings: Settings,
) -> None:
    away = msgspec.structs.replace(
        module_settings,
        database_url="postgresql://triton@127.0.0.1:1/triton?connect_timeout=1",
        clickhouse_url="http://127.0.0.1:1/",
    )
    with LiveApi(away) as api:
        job = api.http.post(JOBS, json={"actor": "a"}).json()["id"]
        assert api.http.get(f"{JOBS}/{job}").json()["state"] == "pending"
        events = api.http.get(f"{JOBS}/{job}/events").json()["events"]
        assert [event["type"] for event in events] == ["job.submitted"]
        problem(api.http.get(JOBS), 503, "unavailable")

        def ready() -> httpx.Response:
            """On a slow machine another one may not answer in time."""
            answer = api.http.get("/health/ready")
            assert answer.status_code == 503
            found = answer.json()["dependencies"]
            assert {name for name, state in found.items() if not state["ok"]} == {
                "postgres",
                "clickhouse",
            }
            # What drivers say, with hosts and users, is for the log.
            assert found["clickhouse"]["reason"] == "unreachable"
            return answer

        assert "127.0.0.1" not in eventually(ready).text
        assert api.http.get("/health").json()["status"] == "ok"


def test_every_reference_of_the_openapi_document_resolves(api: LiveApi) -> None:
    document = api.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    references = _references(document)
    assert references
    for kind in ("schemas", "headers"):
        start = f"#/components/{kind}/"
        named = {ref.removeprefix(start) for ref in references if ref.startswith(start)}
        assert named
        assert named <= document["components"][kind].keys()
    submit = document["paths"][JOBS]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/SubmitRequest"
    }
    assert schemas["SubmitRequest"]["required"] == ["actor"]
    assert "delay_ms" in schemas["SubmitOptions"]["properties"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert any(status.startswith("2") for status in answers), (path, method)
            assert "HTTPValidationError" not in json.dumps(answers)
    assert "Problem" in schemas
    assert api.http.get("/docs").status_code == 200


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for item in value.values() for ref in _references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in _references(item)]
    return []
