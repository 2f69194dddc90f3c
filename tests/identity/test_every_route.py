"""Every route names what it takes, and lets in those who have it and nobody else: walked for every role."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from doors import Door, MakeKey, bearer, doors
from live_api import LiveApi

from triton.identity.permissions import PLATFORM, ROLES, Permission, Role, permitted
from whole_api import whole_api

DOORS = list(doors(whole_api()))
#: All that answers nobody in particular.
PUBLIC = {
    "GET /",
    "GET /health",
    "GET /health/ready",
    "GET /ready",
    "GET /live",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "GET /clients/{name}",
    "POST /api/v1/webhooks/{tenant}/{source}",
    "GET /.well-known/jwks.json",
    "GET /.well-known/security.txt",
}
#: Public, and closed to who cannot sign.
SIGNED = {"/api/v1/webhooks/{tenant}/{source}"}


def status(http: httpx.Client, door: Door, headers: dict[str, str]) -> int:
    """Without a body: whoever is let in is told so by another error, or by an answer."""
    with http.stream(door.method, door.url, headers=headers) as answer:
        return answer.status_code


def test_there_are_routes() -> None:
    assert len(DOORS) > 30


def test_every_route_says_what_it_takes() -> None:
    unsaid = [f"{one.method} {one.path}" for one in DOORS if not one.public and not one.permissions]

    assert unsaid == []


def test_nothing_else_is_public() -> None:
    public = {f"{one.method} {one.path}" for one in DOORS if one.public}

    assert public == PUBLIC


def test_every_permission_is_of_some_role_and_the_admin_has_all() -> None:
    assert ROLES[Role.ADMIN] == frozenset(Permission)
    assert set(ROLES) == set(Role)
    assert permitted(Role.ADMIN, "acme") == frozenset(Permission) - PLATFORM


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("tenant", ["", "acme"])
def test_each_route_lets_in_who_may(
    api: LiveApi, make_key: MakeKey, role: Role, tenant: str
) -> None:
    headers = bearer(make_key(role, tenant))
    may = permitted(role, tenant)

    for door in DOORS:
        found = status(api.http, door, headers)
        if door.path in SIGNED:
            assert found in (401, 422), (door, found)
        elif door.public or door.permissions <= may:
            assert found not in (401, 403) or _only_platform(door, tenant), (door, found)
        else:
            assert found == 403, (door, found)


def _only_platform(door: Door, tenant: str) -> bool:
    """What changed is told of all tenants at once, so the route itself demands more of who has one."""
    return bool(tenant) and door.path == "/api/v1/audit/diff"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer trk_aaaaaaaaaaaa_" + "A" * 43},
        {"Authorization": b"Bearer \xff\xfe"},
        {"X-API-Key": "trk_x' OR 1=1 --"},
    ],
)
def test_nobody_gets_in(api: LiveApi, headers: dict[str, Any]) -> None:
    for door in DOORS:
        if door.public:
            continue
        answer = api.http.request(door.method, door.url + "?unknown=1", headers=headers)
        assert answer.status_code == 401, door
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthenticated"


def test_nobody_gets_in_by_head(api: LiveApi) -> None:
    for door in DOORS:
        if door.method == "GET" and not door.public and not door.path.endswith("/subscribe"):
            assert api.http.head(door.url).status_code == 401, door


def test_the_document_says_what_opens_each_route() -> None:
    document = whole_api().openapi()
    wanted = [{"bearer": []}, {"api_key": []}]

    for door in DOORS:
        operation = document["paths"].get(door.path, {}).get(door.method.lower())
        if operation is not None:
            assert operation.get("security") == (wanted if door.permissions else None), door
