"""The domain's records over the API: validated, versioned, apart by tenant, paged, and events of the log."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import msgspec
import psycopg
import pytest
import redis
from live_api import LiveApi

from triton.domain.kinds import KINDS

#: What a record of each kind needs; `client` is filled in.
BODIES: dict[str, dict[str, Any]] = {
    "clients": {"name": "N"},
    "value-propositions": {"title": "T", "points": ["one", "two"]},
    "dashboard-templates": {"name": "N", "layout": {"rows": [1, {"a": None}]}},
    "prospects": {"name": "N", "members": 7},
    "roi-models": {"name": "N", "investment": "100.00", "annual_benefit": "150.50"},
    "prompts": {"name": "N", "template": "Say {x}", "variables": ["x"]},
    "models": {"name": "N", "provider": "p", "identifier": "i", "input_price": "0.250000"},
    "executions": {
        "prompt_version": 1,
        "status": "succeeded",
        "input": {"document": "d"},
        "output": None,
        "cost": "0.001000",
        "started_at": "2026-01-31T12:00:00Z",
        "finished_at": "2026-01-31T12:00:02.500000Z",
    },
    "evaluations": {"metric": "m", "score": 0.5, "evaluator": "e", "passed": True},
    "enhancement-history": {
        "resource": "prompt",
        "resource_id": "0192f0c1-7a0e-7000-8000-000000000001",
        "field": "template",
        "before": None,
        "after": {"a": ["x", 1]},
    },
}
#: The field of a record -> what it refers to.
NEEDS: dict[str, dict[str, str]] = {
    "value-propositions": {"client": "clients"},
    "prospects": {"client": "clients"},
    "roi-models": {"client": "clients"},
    "executions": {"prompt": "prompts", "model": "models"},
    "evaluations": {"execution": "executions"},
}
#: What is changed of a record that has no name.
CHANGED = {"value-propositions": "title", "executions": "error", "evaluations": "notes"}


def tenant() -> str:
    return "t-" + uuid.uuid4().hex[:8]


def url(path: str, whose: str, **more: object) -> str:
    return f"/api/v1/{path}?" + "&".join(f"{k}={v}" for k, v in {"tenant": whose, **more}.items())


def make(api: LiveApi, path: str, whose: str, **more: Any) -> dict[str, Any]:
    body = {**BODIES[path], **more}
    for field, other in NEEDS.get(path, {}).items():
        if field not in body:
            name = {"name": uuid.uuid4().hex} if "name" in BODIES[other] else {}
            body[field] = make(api, other, whose, **name)["id"]
    answer = api.http.post(url(path, whose), json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/{path}/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


def refers(made: dict[str, Any], path: str) -> dict[str, str]:
    return {field: made[field] for field in NEEDS.get(path, {})}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_a_record_is_made_read_replaced_and_removed(api: LiveApi, kind: Any) -> None:
    path, whose = kind.path, tenant()
    made = make(api, path, whose)
    one = url(f"{path}/{made['id']}", whose)
    assert {**made, **BODIES[path], "version": 1, "tenant": whose} == made
    read = api.http.get(one)
    assert (read.json(), read.headers["etag"]) == (made, '"1"')
    assert api.http.get(one, headers={"If-None-Match": '"1"'}).status_code == 304

    if kind.history:
        for refused in (api.http.put(one, json=BODIES[path]), api.http.delete(one)):
            assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
        return
    field = CHANGED.get(path, "name")
    body = {**BODIES[path], field: "Other", **refers(made, path)}
    assert api.http.put(one, json=body).status_code == 428
    assert api.http.delete(one).json()["code"] == "precondition_required"
    replaced = api.http.put(one, json=body, headers={"If-Match": '"1"'})
    assert (replaced.status_code, replaced.headers["etag"]) == (200, '"2"')
    assert (replaced.json()[field], replaced.json()["version"]) == ("Other", 2)
    for tag in ('"1"', 'W/"2"', '"x"', "2", '"99999999999999"'):
        late = api.http.put(one, json=body, headers={"If-Match": tag})
        assert (late.status_code, late.json()["code"]) == (412, "precondition_failed"), tag
    assert api.http.delete(one, headers={"If-Match": '"1"'}).status_code == 412
    assert api.http.delete(one, headers={"If-Match": '"7", "2"'}).status_code == 204
    assert api.http.get(one).status_code == 404
    assert api.http.put(one, json=body, headers={"If-Match": "*"}).status_code == 404


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.path)
def test_another_tenant_neither_sees_nor_touches_a_record(api: LiveApi, kind: Any) -> None:
    path, whose, other = kind.path, tenant(), tenant()
    made = make(api, path, whose)
    theirs = url(f"{path}/{made['id']}", other)
    body = {**BODIES[path], **refers(made, path)}

    assert api.http.get(theirs).status_code == 404
    if not kind.history:
        assert api.http.put(theirs, json=body, headers={"If-Match": "*"}).status_code in (404, 422)
        assert api.http.delete(theirs, headers={"If-Match": "*"}).status_code == 404
    assert api.http.get(url(path, other)).json() == {"items": [], "next": None}
    if path in NEEDS:
        # A reference to another tenant's record is one to nothing.
        refused = api.http.post(url(path, other), json=body)
        assert refused.status_code == 422
        assert refused.json()["details"]["fields"][0]["field"] in (*NEEDS[path], "prompt_version")
    assert api.http.get(url(f"{path}/{made['id']}", whose)).json() == made


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("clients", {}, {"name"}),
        ("clients", {"name": ""}, {"name"}),
        ("clients", {"name": "a\0"}, {"name"}),
        (
            "clients",
            {"name": "a", "status": "x", "website": "y", "more": 1},
            {"status", "website", "more"},
        ),
        ("clients", {"name": "a", "attributes": {"x": ["\0"]}}, {"attributes"}),
        ("clients", {"name": "a", "attributes": {"\0": 1}}, {"attributes"}),
        ("prospects", {"name": "a", "client": "x", "members": -1}, {"client", "members"}),
        ("prospects", {"name": "a", "client": str(uuid.uuid4())}, {"client"}),
        (
            "roi-models",
            {"client": str(uuid.uuid4()), "name": "a"},
            {"investment", "annual_benefit"},
        ),
        (
            "roi-models",
            {**BODIES["roi-models"], "client": str(uuid.uuid4()), "currency": "US\n"},
            {"currency"},
        ),
        (
            "models",
            {**BODIES["models"], "input_price": "-1", "context_tokens": 0},
            {"input_price", "context_tokens"},
        ),
        ("prompts", {"name": "a", "template": "b", "variables": ["x", 1]}, {"variables[1]"}),
        (
            "executions",
            {"prompt_version": 0, "status": "done", "started_at": "2026-01-31T12:00:00"},
            {"prompt", "prompt_version", "model", "status", "started_at"},
        ),
        ("evaluations", {**BODIES["evaluations"], "score": 1.1}, {"score", "execution"}),
        ("enhancement-history", {**BODIES["enhancement-history"], "before": "\0"}, {"before"}),
    ],
)
def test_what_does_not_fit_is_told_field_by_field(
    api: LiveApi, path: str, body: dict[str, Any], fields: set[str]
) -> None:
    answer = api.http.post(url(path, tenant()), json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation")
    assert {found["field"] for found in answer.json()["details"]["fields"]} == fields


def test_numbers_that_no_database_holds_are_refused(api: LiveApi) -> None:
    for number in ("9" * 5000, "1e400", "-1e-400"):
        body = f'{{"name": "a", "attributes": {{"x": {number}}}}}'
        answer = api.http.post(url("clients", tenant()), content=body)
        assert answer.status_code in (201, 400, 422), (number[:9], answer.text)


@pytest.mark.parametrize("depth", [120, 450, 900])
def test_what_is_nested_too_deep_is_refused(api: LiveApi, depth: int) -> None:
    nested = '{"a":[' * (depth // 2) + "1" + "]}" * (depth // 2)
    headers = {"Content-Type": "application/json"}
    body = f'{{"name": "N", "attributes": {{"x": {nested}}}}}'
    refused = api.http.post(url("clients", tenant()), content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation")
    assert refused.json()["details"]["fields"][0]["field"] == "attributes"


def test_pages_hold_every_record_once_and_filters_choose(api: LiveApi) -> None:
    whose = tenant()
    made = [
        make(api, "models", whose, name=f"m{n}", provider="p" if n % 2 else "q") for n in range(7)
    ]
    found: list[dict[str, Any]] = []
    following: str | None = ""
    while following is not None:
        more = {"next": following} if following else {}
        page = api.http.get(url("models", whose, limit=3, **more)).json()
        found += page["items"]
        following = page["next"]
    assert found == made[::-1]
    assert api.http.get(url("models", whose, limit=7)).json()["next"] is None

    chosen = api.http.get(url("models", whose, provider="p")).json()["items"]
    assert [one["name"] for one in chosen] == ["m5", "m3", "m1"]
    assert api.http.get(url("models", whose, name="m2")).json()["items"] == [made[2]]
    assert api.http.get(url("models", whose, nmae="m2")).status_code == 422
    # Of jobs' lists, whose keys are no records.
    for bad in ("x", "W10", "WzEsIngiXQ"):
        assert api.http.get(url("models", whose, next=bad)).status_code == 422


def test_a_name_is_taken_once_in_a_tenant(api: LiveApi) -> None:
    whose = tenant()
    first, second = make(api, "prompts", whose), make(api, "prompts", whose, name="M")
    taken = api.http.post(url("prompts", whose), json=BODIES["prompts"])
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    one = url(f"prompts/{second['id']}", whose)
    again = api.http.put(one, json=BODIES["prompts"], headers={"If-Match": "*"})
    assert again.status_code == 409
    make(api, "prompts", tenant(), name=first["name"])


def test_an_execution_is_finished_or_runs(api: LiveApi) -> None:
    whose = tenant()
    made = make(api, "executions", whose, status="running", finished_at=None)
    one = url(f"executions/{made['id']}", whose)
    body = {**BODIES["executions"], **refers(made, "executions")}
    for wrong in ({"finished_at": None}, {"finished_at": "2025-01-01T00:00:00Z"}):
        refused = api.http.put(one, json={**body, **wrong}, headers={"If-Match": "*"})
        assert refused.status_code == 422, wrong
    early = {**body, "started_at": "0001-01-01T00:00:00+14:00"}
    assert api.http.put(one, json=early, headers={"If-Match": "*"}).status_code == 422
    done = api.http.put(one, json=body, headers={"If-Match": "*"})
    assert (done.status_code, done.json()["status"]) == (200, "succeeded")
    evaluated = make(api, "evaluations", whose, execution=made["id"])
    again = api.http.post(
        url("evaluations", whose), json={**BODIES["evaluations"], "execution": made["id"]}
    )
    assert (again.status_code, again.json()["details"]["field"]) == (409, "metric")
    assert api.http.delete(one, headers={"If-Match": "*"}).status_code == 204
    assert api.http.get(url(f"evaluations/{evaluated['id']}", whose)).status_code == 404


def test_a_prospect_s_dashboards_show_the_newest_data_of_each_template(api: LiveApi) -> None:
    whose = tenant()
    prospect = make(api, "prospects", whose)["id"]
    templates = sorted(
        make(api, "dashboard-templates", whose, name=f"t{n}")["id"] for n in range(3)
    )
    first = {"If-None-Match": "*"}
    home = f"prospects/{prospect}/dashboards"
    one = url(f"{home}/{templates[0]}", whose)
    assert api.http.put(one, json={"data": {}}).status_code == 428
    assert api.http.put(one, json={"data": {}}, headers={"If-Match": "*"}).status_code == 404
    assert api.http.put(one, json={"data": {"a": "\0"}}, headers=first).status_code == 422
    for template in templates:
        made = api.http.put(
            url(f"{home}/{template}", whose),
            json={"data": {"pmpm": 1.5}, "job": "j"},
            headers=first,
        )
        assert (made.status_code, made.headers["etag"]) == (201, '"1"'), made.text
    assert api.http.put(one, json={"data": {}}, headers=first).status_code == 412
    shown = api.http.put(one, json={"data": {"pmpm": 2}}, headers={"If-Match": '"1"'})
    assert (shown.status_code, shown.headers["etag"]) == (200, '"2"')
    assert api.http.get(one).json() == shown.json()
    assert api.http.get(one, headers={"If-None-Match": '"2"'}).status_code == 304
    assert api.http.put(one, json={"data": {}}, headers={"If-Match": '"1"'}).status_code == 412

    page = api.http.get(url(home, whose, limit=2)).json()
    rest = api.http.get(url(home, whose, limit=2, next=page["next"])).json()
    assert [item["template"] for item in page["items"] + rest["items"]] == templates
    assert rest["next"] is None
    for path, seen_by in ((home, tenant()), (f"prospects/{uuid.uuid4()}/dashboards", whose)):
        assert api.http.get(url(path, seen_by)).status_code == 404
    strange = url(f"{home}/{templates[0]}", tenant())
    assert api.http.put(strange, json={"data": {}}, headers=first).status_code == 404
    assert api.http.delete(one, headers={"If-Match": '"1"'}).status_code == 412
    assert api.http.delete(one, headers={"If-Match": '"2"'}).status_code == 204
    assert api.http.get(one).status_code == 404


def test_a_tenant_s_settings_are_its_own_and_leave_its_quotas_alone(api: LiveApi) -> None:
    whose = tenant()
    one = url("tenant-settings", whose)
    none = api.http.get(one)
    assert (none.json()["settings"], none.headers["etag"]) == ({}, '"0"')
    body = {"settings": {"locale": "en"}}
    assert api.http.put(one, json=body).status_code == 428
    assert api.http.put(one, json=body, headers={"If-Match": '"1"'}).status_code == 412
    made = api.http.put(one, json=body, headers={"If-Match": '"0"'})
    assert (made.status_code, made.headers["etag"]) == (200, '"1"'), made.text
    assert api.http.put(one, json=body, headers={"If-Match": '"0"'}).status_code == 412
    api.http.put(f"/api/v1/quotas?tenant={whose}", json={"max_pending": 7})
    late = api.http.put(one, json=body, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    newer = api.http.put(one, json={"settings": {"b": 1}}, headers={"If-Match": "*"})
    assert (newer.json()["settings"], newer.json()["version"]) == ({"b": 1}, 3)
    assert api.http.get(f"/api/v1/quotas?tenant={whose}").json()["max_pending"] == 7
    assert api.http.get(url("tenant-settings", tenant())).json()["version"] == 0
    assert api.http.put(one, json={"settings": []}, headers={"If-Match": "*"}).status_code == 422


def test_what_is_referred_to_stays(api: LiveApi) -> None:
    whose = tenant()
    prospect = make(api, "prospects", whose)
    client = url(f"clients/{prospect['client']}", whose)
    assert api.http.delete(client, headers={"If-Match": "*"}).status_code == 409
    one = url(f"prospects/{prospect['id']}", whose)
    assert api.http.delete(one, headers={"If-Match": "*"}).status_code == 204
    assert api.http.delete(client, headers={"If-Match": "*"}).status_code == 204


def test_every_edit_of_a_prompt_is_a_version_that_stays(api: LiveApi) -> None:
    whose = tenant()
    made = make(api, "prompts", whose)
    one = url(f"prompts/{made['id']}", whose)
    api.http.put(one, json={"name": "N", "template": "Tell {x}"}, headers={"If-Match": '"1"'})

    versions = api.http.get(url(f"prompts/{made['id']}/versions", whose)).json()["items"]
    assert [(v["version"], v["template"]) for v in versions] == [(2, "Tell {x}"), (1, "Say {x}")]
    first = api.http.get(url(f"prompts/{made['id']}/versions/1", whose)).json()
    assert first == versions[1]
    for path, seen_by in (
        (f"prompts/{made['id']}/versions/3", whose),
        (f"prompts/{made['id']}/versions", tenant()),
    ):
        assert api.http.get(url(path, seen_by)).status_code == 404
    with psycopg.connect(api.settings.database_url) as connection:
        connection.execute("SET LOCAL ROLE triton_tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE prompt_versions SET template = 'x'")


def test_every_change_is_an_event_with_its_reason_and_a_refused_one_is_none(api: LiveApi) -> None:
    whose = tenant()
    made = make(api, "clients", whose)
    one = url(f"clients/{made['id']}", whose, reason="a+merger")
    request = uuid.uuid4().hex
    shown = api.http.put(
        one, json={"name": "New"}, headers={"If-Match": '"1"', "X-Request-ID": request}
    )
    assert api.http.put(one, json={"name": "Late"}, headers={"If-Match": '"1"'}).status_code == 412
    gone = api.http.delete(one, headers={"If-Match": '"2"'})

    log = f"{{{api.settings.namespace}:0}}:log"
    client = redis.Redis.from_url(api.settings.redis_url)
    entries = [entry for _, entry in client.xrange(log) if entry[b"tenant"] == whose.encode()]
    client.close()
    events = [(entry[b"type"], msgspec.msgpack.decode(entry[b"data"])) for entry in entries]
    # Nobody had added the tenant.
    kind, data = events.pop(0)
    assert (kind, data["organization"]) == (b"organization.added", whose)
    assert entries.pop(0)[b"by"] == b"user:anonymous"
    assert [kind for kind, _ in events] == [b"record.changed"] * 3
    assert [data["change"] for _, data in events] == ["created", "updated", "removed"]
    assert [data["version"] for _, data in events] == [1, 2, 2]
    assert events[1][1]["reason"] == "a merger"
    # Of its own, or of ours: an answer's header leads to the event.
    came_of = [entry[b"correlation"].decode() for entry in entries]
    assert came_of[1:] == [request, gone.headers["x-request-id"]]
    assert events[1][1]["sha256"] == hashlib.sha256(shown.content).hexdigest()
