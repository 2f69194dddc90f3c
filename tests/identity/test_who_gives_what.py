"""Nobody gives what they do not have; and how a platform gets its first admin."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import redis
from doors import MakeKey, bearer
from live_api import LiveApi

from eventually import eventually
from triton import migrate
from triton.errors import ConfigurationError
from triton.identity import first_start
from triton.identity.api_keys import prefix_of
from triton.identity.first_start import ensure_admin, first_admin, recovered_key
from triton.identity.permissions import Role
from triton.settings import Settings

PASSWORD = "correct horse battery staple"


def post(api: LiveApi, path: str, key: str, **body: Any) -> Any:
    return api.http.post(f"/api/v1/{path}", json=body, headers=bearer(key) if key else {})


def name() -> str:
    return secrets.token_hex(6)


def test_a_tenants_admin_makes_people_of_that_tenant_only(api: LiveApi, make_key: MakeKey) -> None:
    ours, platform = make_key(Role.ADMIN, "acme"), make_key(Role.ADMIN)

    made = post(api, "users", ours, login=name(), role="admin").json()
    assert (made["tenant"], made["role"]) == ("acme", "admin")
    make_key(Role.VIEWER, "globex")
    assert post(api, "users", ours, login=name(), role="viewer", tenant="globex").status_code == 403
    theirs = post(api, "users", platform, login=name(), role="viewer", tenant="globex").json()
    path = f"/api/v1/users/{theirs['id']}"
    assert api.http.get(path, headers=bearer(ours)).status_code == 404
    changed = api.http.patch(path, json={"role": "admin"}, headers=bearer(ours))
    assert changed.status_code == 404
    listed = api.http.get("/api/v1/users", headers=bearer(ours)).json()["users"]
    assert {one["tenant"] for one in listed} == {"acme"}
    # Of the platform's people a tenant's admin sees and changes none.
    root = post(api, "users", platform, login=name(), role="viewer").json()
    path = f"/api/v1/users/{root['id']}"
    assert api.http.patch(path, json={"disabled": True}, headers=bearer(ours)).status_code == 404


def test_a_scoped_admin_makes_no_one_who_may_more(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.ADMIN, scopes=("users.manage", "keys.own", "users.read"))

    refused = post(api, "users", key, login=name(), role="viewer")
    assert refused.status_code == 403
    assert post(api, "keys", key, role="admin", scopes=["jobs.read"]).status_code == 403
    # Without scopes of its own a key gets those of who makes it, and nobody's key needs keys.manage.
    assert post(api, "keys", key).status_code == 403


def test_a_key_of_ones_own_may_no_more_than_oneself(api: LiveApi, make_key: MakeKey) -> None:
    admin, login = make_key(Role.ADMIN), name()
    user = post(api, "users", admin, login=login, role="operator", password=PASSWORD).json()
    pair = post(api, "auth/login", "", login=login, password=PASSWORD).json()
    token = pair["access_token"]

    assert post(api, "keys", token, role="admin").status_code == 403
    assert post(api, "keys", token, role="operator", owner="").status_code == 403
    made = post(api, "keys", token, name="mine", scopes=["jobs.read"]).json()
    assert (made["owner"], made["role"]) == (user["id"], "operator")
    mine = api.http.get("/api/v1/keys", headers=bearer(token)).json()["keys"]
    assert [one["prefix"] for one in mine] == [made["prefix"]]
    assert "key" not in mine[0]

    # Nobody revokes another's; the owner and an admin do.
    other = make_key(Role.OPERATOR)
    path = f"/api/v1/keys/{made['prefix']}"
    assert api.http.delete(path, headers=bearer(other)).status_code == 404
    assert api.http.delete(path, headers=bearer(token)).status_code == 204
    assert api.http.delete(path, headers=bearer(admin)).status_code == 204
    assert api.http.get("/api/v1/auth/me", headers=bearer(made["key"])).status_code == 401


def test_a_key_makes_none_that_outlives_it(api: LiveApi, make_key: MakeKey) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    key = make_key(Role.ADMIN, "acme", expires_at=ends)

    later = (ends + timedelta(seconds=1)).isoformat()
    refused = post(api, "keys", key, name="k", expires_at=later)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for asked in ({}, {"expires_at": (ends - timedelta(seconds=1)).isoformat()}):
        made = post(api, "keys", key, name="k", **asked).json()
        assert datetime.fromisoformat(made["expires_at"]) <= ends


def test_nobody_changes_their_own_standing(api: LiveApi, make_key: MakeKey) -> None:
    login = name()
    made = post(
        api, "users", make_key(Role.ADMIN), login=login, role="admin", password=PASSWORD
    ).json()
    token = post(api, "auth/login", "", login=login, password=PASSWORD).json()["access_token"]

    for wanted in ({"disabled": True}, {"role": "viewer"}):
        path = f"/api/v1/users/{made['id']}"
        assert api.http.patch(path, json=wanted, headers=bearer(token)).status_code == 409


def test_logins_are_taken_once_whatever_the_case(api: LiveApi, make_key: MakeKey) -> None:
    key, login = make_key(Role.ADMIN), name()

    assert post(api, "users", key, login=login.upper(), role="viewer").status_code == 201
    assert post(api, "users", key, login=login, role="viewer").status_code == 409
    assert post(api, "users", key, login=name(), role="viewer", tenant="no").status_code == 404


def test_a_disabled_tenant_is_out(api: LiveApi, make_key: MakeKey) -> None:
    tenant = name()
    key, admin = make_key(Role.ADMIN, tenant), make_key(Role.ADMIN)
    path = f"/api/v1/organizations/{tenant}"
    assert api.http.get("/api/v1/jobs", headers=bearer(key)).status_code == 200

    assert api.http.patch(path, json={"disabled": True}, headers=bearer(key)).status_code == 403
    assert api.http.patch(path, json={"disabled": True}, headers=bearer(admin)).is_success
    assert api.http.get("/api/v1/jobs", headers=bearer(key)).status_code == 401
    assert api.http.patch(path, json={"disabled": False}, headers=bearer(admin)).is_success
    assert api.http.get("/api/v1/jobs", headers=bearer(key)).status_code == 200


@pytest.fixture
def fresh(settings: Settings, database_url: str, tmp_path: Path, namespace: str) -> Settings:
    """A platform that was never started."""
    return msgspec.structs.replace(
        settings, database_url=database_url, data=str(tmp_path), namespace=namespace
    )


def count(settings: Settings, table: str) -> int:
    with psycopg.connect(settings.database_url) as connection:
        (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
        return int(found)


def test_the_first_start_makes_a_key_where_no_password_is_given(
    fresh: Settings, redis_client: redis.Redis
) -> None:
    migrate.up(fresh.database_url)
    first_admin(fresh)
    first_admin(fresh)

    key = msgspec.json.decode((Path(fresh.data) / "credentials.json").read_bytes())["api_key"]
    assert (count(fresh, "users"), count(fresh, "api_keys")) == (0, 1)
    # It is in the log, and so is the one that is made where that is lost.
    again = recovered_key(fresh)
    log = redis_client.xrange(f"{{{fresh.namespace}:0}}:log")
    assert [entry[b"type"] for _, entry in log] == [b"api_key.made"] * 2
    assert [prefix_of(text) for text in (key, again.text)] != ["", ""]


def test_the_first_start_takes_the_password_that_is_given(fresh: Settings, tmp_path: Path) -> None:
    migrate.up(fresh.database_url)
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    chosen = msgspec.structs.replace(fresh, admin_login="Root", admin_password_file=str(file))
    first_admin(chosen)
    first_admin(chosen)

    assert (count(fresh, "users"), count(fresh, "api_keys")) == (1, 0)
    with LiveApi(chosen) as live:
        body = {"login": "root", "password": PASSWORD}
        assert live.http.post("/api/v1/auth/login", json=body).status_code == 200


def test_it_waits_for_tables(fresh: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "_AGAIN", 0.05)
    ensure_admin(fresh)
    assert not (Path(fresh.data) / "credentials.json").exists()

    migrate.up(fresh.database_url)
    eventually(lambda: (Path(fresh.data) / "credentials.json").exists())


def test_a_short_first_password_stops_the_start(fresh: Settings) -> None:
    with pytest.raises(ConfigurationError, match="12 to 256") as raised:
        ensure_admin(msgspec.structs.replace(fresh, admin_password="admin"))
    assert "admin'" not in raised.value.message
