"""A key lets its holder in, as far as its role, scopes, tenant and owner go; never when it is over."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from doors import MakeKey, bearer
from live_api import Hand, LiveApi, project

from eventually import eventually
from triton.errors import ConfigurationError, UnavailableError
from triton.identity import credentials
from triton.identity.api_keys import new_key, prefix_of
from triton.identity.first_start import check_auth, embedded_key
from triton.identity.permissions import Role
from triton.identity.principal import principal_of
from triton.identity.remembering import Remembered
from triton.settings import Settings


def test_only_a_digest_is_kept(database: psycopg.Connection, make_key: MakeKey) -> None:
    text = make_key(Role.VIEWER)

    (row,) = database.execute(
        "SELECT * FROM api_keys WHERE prefix = %s", (prefix_of(text),)
    ).fetchall()
    assert bytes(row["sha256"]) == hashlib.sha256(text.encode()).digest()
    secret = text.rpartition(f"{prefix_of(text)}_")[2]
    assert secret not in repr(row)


def test_a_key_shows_itself_in_no_repr() -> None:
    key = new_key()

    assert key.text not in f"{key} {key!r} {credentials.Credentials(key.text)!r}"


def test_both_headers_carry_a_key(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.VIEWER)

    assert api.http.get("/api/v1/queues", headers={"X-API-Key": key}).status_code == 200
    assert api.http.get("/api/v1/queues", headers={"authorization": f"bearer {key}"}).is_success


def test_one_wrong_character_is_nobody(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.ADMIN)
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")

    assert api.http.get("/api/v1/queues", headers=bearer(key)).status_code == 200
    refused = api.http.get("/api/v1/queues", headers=bearer(wrong))
    assert refused.status_code == 401
    assert wrong not in refused.text


def test_an_expired_key_is_over(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.ADMIN, expires_at=datetime.now(UTC) - timedelta(seconds=1))

    refused = api.http.get("/api/v1/queues", headers=bearer(key))
    assert refused.status_code == 401
    assert "expired" in refused.json()["message"]


def test_a_revoked_key_is_over_soon(
    api: LiveApi, make_key: MakeKey, database: psycopg.Connection
) -> None:
    key = make_key(Role.ADMIN)
    assert api.http.get("/api/v1/queues", headers=bearer(key)).status_code == 200

    database.execute(
        "UPDATE api_keys SET revoked_at = now(), revoked_by = 'test' WHERE prefix = %s",
        (prefix_of(key),),
    )
    # The settings of these tests say that a key is believed for a fifth of a second.
    refused = eventually(
        lambda: (
            answer
            if (answer := api.http.get("/api/v1/queues", headers=bearer(key))).status_code == 401
            else None
        )
    )
    assert "revoked" in refused.json()["message"]


def test_a_key_may_no_more_than_its_owner(
    api: LiveApi, make_key: MakeKey, database: psycopg.Connection
) -> None:
    database.execute(
        "INSERT INTO users (id, login, role, created_by) VALUES ('u1', 'u1', 'viewer', 'test')"
    )
    key = make_key(Role.ADMIN, owner="u1")
    body = {"actor": "a"}

    assert api.http.get("/api/v1/queues", headers=bearer(key)).status_code == 200
    assert api.http.post("/api/v1/jobs", json=body, headers=bearer(key)).status_code == 403

    database.execute("UPDATE users SET disabled_at = now() WHERE id = 'u1'")
    eventually(lambda: api.http.get("/api/v1/queues", headers=bearer(key)).status_code == 401)


def test_scopes_narrow_a_role(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.OPERATOR, scopes=("jobs.submit", "users.manage"))

    assert api.http.post("/api/v1/jobs", json={}, headers=bearer(key)).status_code == 422
    refused = api.http.get("/api/v1/queues", headers=bearer(key))
    assert refused.status_code == 403
    assert refused.json()["details"] == {"permission": "queues.read"}
    # A scope gives nothing that the role does not have.
    assert (
        "users.manage"
        not in principal_of("x", Role.OPERATOR, "", scopes=("users.manage",)).permissions
    )


def test_who_did_it_is_the_key(api: LiveApi, make_key: MakeKey) -> None:
    key = make_key(Role.DEVELOPER, "acme")
    job = api.http.post("/api/v1/jobs", json={"actor": "a"}, headers=bearer(key)).json()

    view = api.http.get(f"/api/v1/jobs/{job['id']}", headers=bearer(key)).json()
    assert (view["by"], view["tenant"]) == (f"key:{prefix_of(key)}", "acme")


def test_a_tenant_is_alone(api: LiveApi, make_key: MakeKey, hand: Hand, settings: Settings) -> None:
    ours, theirs = hand.submit(tenant="acme"), hand.submit(tenant="globex")
    hand.start(ours)
    hand.fail(ours)
    hand.start(theirs)
    hand.fail(theirs)
    project(settings)
    key = bearer(make_key(Role.ADMIN, "acme"))
    get = api.http.get

    for path in ("", "/events", "/explain", "/result", "/subscribe"):
        assert get(f"/api/v1/jobs/{theirs}{path}", headers=key).status_code == 404, path
    assert get(f"/api/v1/audit/jobs/{theirs}/why", headers=key).status_code == 404
    assert get(f"/api/v1/audit/at?instant=now&job={theirs}", headers=key).status_code == 404
    for what in ("cancel", "requeue"):
        path = f"/api/v1/jobs/{theirs}/{what}"
        assert api.http.post(path, json={"reason": "x"}, headers=key).status_code == 404
    jobs = get("/api/v1/jobs", headers=key).json()["jobs"]
    assert {job["tenant"] for job in jobs} == {"acme"}
    dead = get("/api/v1/dead-letters", headers=key).json()["dead_letters"]
    assert {job["tenant"] for job in dead} == {"acme"}
    then = get("/api/v1/audit/at?instant=now", headers=key).json()
    assert {job["tenant"] for job in then["jobs"]} == {"acme"}
    api.catch_up()
    events = get(
        "/api/v1/events/subscribe?from=earliest",
        headers={**key, "Accept": "application/json"},
    ).json()["events"]
    assert {event["tenant"] for event in events} == {"acme"}


@pytest.mark.parametrize(
    "path",
    [
        "jobs?tenant=globex",
        "dead-letters?tenant=globex",
        "audit/at?instant=now&tenant=globex",
        "audit/export?tenant=globex",
        "audit/diff?from=0",
        "documents/x?tenant=globex",
    ],
)
def test_no_other_tenant_can_be_named(api: LiveApi, make_key: MakeKey, path: str) -> None:
    key = bearer(make_key(Role.ADMIN, "acme"))

    assert api.http.get(f"/api/v1/{path}", headers=key).status_code == 403


def test_no_job_is_made_for_another_tenant(api: LiveApi, make_key: MakeKey) -> None:
    key = bearer(make_key(Role.ADMIN, "acme"))
    job = {"actor": "a", "options": {"tenant": "globex"}}

    assert api.http.post("/api/v1/jobs", json=job, headers=key).status_code == 403
    many = api.http.post(
        "/api/v1/jobs/bulk", json={"mode": "partial", "jobs": [job, {"actor": "a"}]}, headers=key
    ).json()
    assert [one["status"] for one in many["jobs"]] == ["rejected", "accepted"]
    upload = api.http.post("/api/v1/documents?tenant=globex", content=b"x", headers=key)
    assert upload.status_code == 403


def test_a_token_of_all_tenants_is_no_way_around(
    api: LiveApi, make_key: MakeKey, hand: Hand, settings: Settings
) -> None:
    job = hand.submit(tenant="globex")
    project(settings)
    wanted = {"filter": {}, "dry_run": True}
    all_of_them = bearer(make_key(Role.OPERATOR))
    token = api.http.post("/api/v1/jobs/cancel", json=wanted, headers=all_of_them).json()["token"]
    ours = bearer(make_key(Role.OPERATOR, "acme"))

    refused = api.http.post(
        "/api/v1/jobs/cancel", json={"token": token, "reason": "x"}, headers=ours
    )
    assert refused.status_code == 403
    found = api.http.get(f"/api/v1/jobs/{job}", headers=all_of_them).json()
    assert found["state"] == "pending"


def test_when_it_was_used_is_written(
    api: LiveApi, make_key: MakeKey, database: psycopg.Connection
) -> None:
    key = make_key(Role.VIEWER)
    api.http.get("/api/v1/queues", headers=bearer(key))

    loop = api.server._loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(api.services.verifier.write_used(), loop).result(60)
    (row,) = database.execute(
        "SELECT last_used_at FROM api_keys WHERE prefix = %s", (prefix_of(key),)
    ).fetchall()
    assert row["last_used_at"] is not None


def test_what_was_read_counts_where_the_store_is_away_but_not_for_ever() -> None:
    async def run() -> None:
        now, away, asked = 0.0, False, 0

        async def ask(name: str) -> str | None:
            nonlocal asked
            asked += 1
            if away:
                raise UnavailableError("away")
            return name

        known: Remembered[str] = Remembered(ask, fresh=5, stale=60, clock=lambda: now)
        assert await asyncio.gather(*(known.get("a") for _ in range(20))) == ["a"] * 20
        assert asked == 1
        now, away = 30.0, True
        assert await known.get("a") == "a"
        with pytest.raises(UnavailableError):
            await known.get("b")
        now = 61.0
        with pytest.raises(UnavailableError):
            await known.get("a")

    asyncio.run(run())


def test_the_admin_key_is_made_once_and_made_anew_when_it_is_lost(
    settings: Settings, tmp_path: Path, database: psycopg.Connection
) -> None:
    chosen = msgspec.structs.replace(settings, data=str(tmp_path))
    file = tmp_path / "credentials.json"

    embedded_key(chosen, ours=True)
    first = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    embedded_key(chosen, ours=True)
    assert file.read_bytes() == first

    file.unlink()
    embedded_key(chosen, ours=True)
    lost, now = (msgspec.json.decode(one)["api_key"] for one in (first, file.read_bytes()))
    revoked = {
        row["prefix"]: row["revoked_at"] is not None
        for row in database.execute("SELECT prefix, revoked_at FROM api_keys").fetchall()
    }
    assert (revoked[prefix_of(lost)], revoked[prefix_of(now)]) == (True, False)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])
def test_without_keys_nobody_is_let_in_from_elsewhere(address: str) -> None:
    check_auth("off", "127.0.0.1")
    check_auth("off", "::1")
    check_auth("required", address)

    with pytest.raises(ConfigurationError, match="whoever reaches that address"):
        check_auth("off", address)
