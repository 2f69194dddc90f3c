"""Login, refresh and logout; and every token that was stolen, expired, tampered with, replayed or made up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from doors import MakeKey, bearer
from live_api import LiveApi

from eventually import eventually
from triton.api.problems import STATUS
from triton.errors import UnauthenticatedError
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.render import data_of
from triton.events.scripts import Scripts
from triton.identity import token_keys
from triton.identity.networks import network_of
from triton.identity.permissions import Role
from triton.identity.token_keys import SETTLED, TokenKeys
from triton.identity.tokens import AUDIENCE, LEEWAY, TYPE, AccessTokens
from triton.settings import Settings

PASSWORD = "correct horse battery staple"
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def admin(make_key: MakeKey) -> dict[str, str]:
    return bearer(make_key(Role.ADMIN))


@pytest.fixture
def user(api: LiveApi, admin: dict[str, str]) -> Make:
    """Makes a user; answers its view."""

    def make(role: str = "developer", **more: Any) -> dict[str, Any]:
        wanted = {"login": secrets.token_hex(6), "role": role, "password": PASSWORD, **more}
        made = api.http.post("/api/v1/users", json=wanted, headers=admin)
        assert made.status_code == 201, made.text
        return dict(made.json())

    return make


def login(api: LiveApi, name: str, password: str = PASSWORD) -> httpx.Response:
    return api.http.post("/api/v1/auth/login", json={"login": name, "password": password})


def refresh(api: LiveApi, token: str) -> httpx.Response:
    return api.http.post("/api/v1/auth/refresh", json={"refresh_token": token})


def me(api: LiveApi, token: str) -> httpx.Response:
    return api.http.get("/api/v1/auth/me", headers=bearer(token))


def administrative(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """(type, by, data) of every event of no job, in the log's order."""

    async def read() -> list[tuple[str, str, dict[str, Any]]]:
        async with connect_async(settings.redis_url) as client:
            log = await Log.open(client, Scripts(), settings.namespace, 1, "x")
            page = await log.range(0, 0, count=100_000)
            events = [entry.event() for entry in page]
            return [
                (event.type, event.by, data_of(event.data)) for event in events if not event.job
            ]

    return asyncio.run(read())


def test_a_person_logs_in_works_and_leaves(api: LiveApi, user: Make, settings: Settings) -> None:
    made = user(tenant=None)
    pair = login(api, made["login"].upper()).json()
    assert pair["token_type"] == "Bearer"

    shown = me(api, pair["access_token"]).json()
    assert (shown["by"], shown["role"]) == (f"user:{made['id']}", "developer")
    job = api.http.post(
        "/api/v1/jobs", json={"actor": "a"}, headers=bearer(pair["access_token"])
    ).json()
    view = api.http.get(f"/api/v1/jobs/{job['id']}", headers=bearer(pair["access_token"])).json()
    assert view["by"] == f"user:{made['id']}"

    out = api.http.post("/api/v1/auth/logout", headers=bearer(pair["access_token"]))
    assert out.status_code == 204
    assert me(api, pair["access_token"]).status_code == 401
    assert refresh(api, pair["refresh_token"]).status_code == 401
    ours = [
        (kind, by)
        for kind, by, data in administrative(settings)
        if data.get("user") == made["id"] and kind != "user.added"
    ]
    assert ours == [
        ("login.accepted", f"user:{made['id']}"),
        ("session.ended", f"user:{made['id']}"),
    ]


def test_what_is_wrong_is_told_to_nobody(api: LiveApi, user: Make, settings: Settings) -> None:
    made, gone = user(), user()
    api.http.patch(
        f"/api/v1/users/{gone['id']}",
        json={"disabled": True},
        headers=bearer(login(api, user("admin")["login"]).json()["access_token"]),
    )
    nobody = secrets.token_hex(6)

    answers = [login(api, made["login"], "wrong"), login(api, nobody), login(api, gone["login"])]
    for answer in answers:
        assert answer.status_code == 401
        body = answer.json()
        assert {**body, "request_id": ""} == {**answers[0].json(), "request_id": ""}
    why = [
        (data["why"], data["user"])
        for kind, _, data in administrative(settings)
        if kind == "login.refused"
    ][-3:]
    assert why == [("password", made["id"]), ("unknown", ""), ("disabled", gone["id"])]
    # What was typed is nowhere.
    assert nobody not in json.dumps(administrative(settings))


def test_guessing_is_stopped_for_accounts_that_are_and_that_are_not(
    api: LiveApi, user: Make, settings: Settings
) -> None:
    for name in (user()["login"], secrets.token_hex(6)):
        with ThreadPoolExecutor(6) as pool:
            found = pool.map(partial(login, api, name), ["wrong"] * 6)
            codes = sorted(one.status_code for one in found)
        assert codes == [401, 401, 401, 429, 429, 429]
        # The right password is not looked at either.
        blocked = login(api, name)
        assert blocked.status_code == 429
        assert 1 <= int(blocked.headers["retry-after"]) <= settings.login_window_ms / 1000
    begun = [1 for kind, _, _ in administrative(settings) if kind == "login.blocked"]
    assert len(begun) == 2


def test_right_passwords_are_not_counted(api: LiveApi, user: Make) -> None:
    name = user()["login"]

    assert [login(api, name).status_code for _ in range(5)] == [200] * 5


def test_a_bcrypt_hash_is_accepted_and_replaced(
    api: LiveApi, user: Make, database: psycopg.Connection
) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    made = user(password=None, password_hash=old)

    def stored() -> str:
        (row,) = database.execute(
            "SELECT password_hash FROM users WHERE id = %s", (made["id"],)
        ).fetchall()
        return str(row["password_hash"])

    assert login(api, made["login"], "wrong").status_code == 401
    assert stored() == old
    assert login(api, made["login"]).status_code == 200
    assert stored().startswith("$argon2id$")
    assert login(api, made["login"]).status_code == 200


@pytest.mark.parametrize(
    "stored",
    [
        "$2b$04$" + "a" * 53,
        "$2b$31$WRbK.R6NXV2tD8sefEwcDu" + "a" * 31,
        "$argon2id$v=19$m=65536,t=4294967295,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2i$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        "$argon2id$v=x$m=1$c2FsdA$aGFzaA",
    ],
)
def test_no_hash_is_taken_that_cannot_be_looked_at_in_time(
    api: LiveApi, user: Make, admin: dict[str, str], database: psycopg.Connection, stored: str
) -> None:
    """Two of them would keep everybody out: so many are looked at at once."""
    wanted = {"login": "x", "role": "viewer", "password_hash": stored}
    refused = api.http.post("/api/v1/users", json=wanted, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation")
    made = user()
    database.execute("UPDATE users SET password_hash = %s WHERE id = %s", (stored, made["id"]))
    assert login(api, made["login"]).status_code == 401


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_a_password_has_a_length(api: LiveApi, admin: dict[str, str], password: str) -> None:
    wanted = {"login": "x", "role": "viewer", "password": password}
    refused = api.http.post("/api/v1/users", json=wanted, headers=admin)

    assert refused.status_code == 422
    assert password not in refused.text


def test_a_refresh_token_that_comes_again_ends_the_session(
    api: LiveApi, user: Make, settings: Settings
) -> None:
    made = user()
    first = login(api, made["login"]).json()
    second = refresh(api, first["refresh_token"]).json()
    third = refresh(api, second["refresh_token"]).json()
    assert me(api, third["access_token"]).status_code == 200

    # Whoever copied the first one, or lost it to a thief: neither goes on.
    assert refresh(api, first["refresh_token"]).status_code == 401
    # At once, in the process that was asked: what it remembers of the session is gone too.
    assert me(api, third["access_token"]).status_code == 401
    assert refresh(api, third["refresh_token"]).status_code == 401
    ended = [
        data["why"]
        for kind, _, data in administrative(settings)
        if kind == "session.ended" and data["user"] == made["id"]
    ]
    assert ended == ["reuse"]
    # Another session of the same person has nothing to do with it.
    assert login(api, made["login"]).status_code == 200


def test_of_two_who_refresh_at_once_one_is_a_thief(api: LiveApi, user: Make) -> None:
    pair = login(api, user()["login"]).json()

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: refresh(api, pair["refresh_token"]), range(2)))
    assert sorted(one.status_code for one in found) == [200, 401]
    (won,) = [one.json() for one in found if one.status_code == 200]
    assert refresh(api, won["refresh_token"]).status_code == 401


def test_an_expired_refresh_token_is_over(
    api: LiveApi, user: Make, database: psycopg.Connection
) -> None:
    made = user()
    pair = login(api, made["login"]).json()
    database.execute(
        "UPDATE refresh_tokens r SET expires_at = now() FROM sessions s "
        'WHERE s.id = r.session AND s."user" = %s',
        (made["id"],),
    )
    assert refresh(api, pair["refresh_token"]).status_code == 401

    pair = login(api, made["login"]).json()
    database.execute(
        "UPDATE sessions SET created_at = now() - interval '31 days' "
        'WHERE "user" = %s AND ended_at IS NULL',
        (made["id"],),
    )
    old = refresh(api, pair["refresh_token"])
    assert old.status_code == 401
    assert "too old" in old.json()["message"]


@pytest.mark.parametrize("token", ["", "trr_", "trr_" + "A" * 43, "trk_x", "\x00", "é" * 50])
def test_a_made_up_refresh_token_is_none(api: LiveApi, token: str) -> None:
    assert refresh(api, token).status_code == 401


def test_who_is_disabled_is_out_everywhere(api: LiveApi, user: Make, admin: dict[str, str]) -> None:
    made = user()
    pair = login(api, made["login"]).json()
    key = api.http.post(
        "/api/v1/keys", json={"name": "mine"}, headers=bearer(pair["access_token"])
    ).json()["key"]
    assert me(api, key).status_code == 200

    path = f"/api/v1/users/{made['id']}"
    assert api.http.patch(path, json={"disabled": True}, headers=admin).status_code == 200
    assert me(api, pair["access_token"]).status_code == 401
    assert me(api, key).status_code == 401
    assert refresh(api, pair["refresh_token"]).status_code == 401
    api.http.patch(path, json={"disabled": False}, headers=admin)
    # Its sessions do not come back; its key does.
    assert refresh(api, pair["refresh_token"]).status_code == 401
    assert me(api, key).status_code == 200


def test_another_role_counts_at_once(api: LiveApi, user: Make, admin: dict[str, str]) -> None:
    made = user("operator")
    token = login(api, made["login"]).json()["access_token"]
    assert me(api, token).json()["role"] == "operator"

    path = f"/api/v1/users/{made['id']}"
    api.http.patch(path, json={"role": "viewer"}, headers=admin)
    assert me(api, token).json()["role"] == "viewer"


def test_a_new_password_ends_the_other_sessions(api: LiveApi, user: Make) -> None:
    name = user()["login"]
    other, mine = login(api, name).json(), login(api, name).json()
    wanted = {"current": "no", "password": "another " + PASSWORD}
    headers = bearer(mine["access_token"])

    assert api.http.post("/api/v1/auth/password", json=wanted, headers=headers).status_code == 403
    wanted["current"] = PASSWORD
    assert api.http.post("/api/v1/auth/password", json=wanted, headers=headers).status_code == 204
    assert me(api, mine["access_token"]).status_code == 200
    assert me(api, other["access_token"]).status_code == 401
    assert login(api, name).status_code == 401
    assert login(api, name, wanted["password"]).status_code == 200


def waits(database: psycopg.Connection) -> bool:
    """Whether somebody waits for what a transaction of ours holds."""
    asked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return database.execute(asked).fetchone() is not None


def test_an_old_password_that_is_being_looked_at_opens_nothing_any_more(
    api: LiveApi, user: Make, database: psycopg.Connection, settings: Settings
) -> None:
    one, other = user(), user(password="another " + PASSWORD)
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(settings.database_url) as held,
    ):
        held.execute(
            "UPDATE users u SET password_hash = o.password_hash FROM users o WHERE u.id = %s AND o.id = %s",
            (one["id"], other["id"]),
        )
        # It reads the password as it was, and waits only where it would begin a session.
        begun = pool.submit(login, api, one["login"])
        eventually(lambda: waits(database))
        held.commit()
        assert begun.result().status_code == 401
    assert login(api, one["login"], "another " + PASSWORD).status_code == 200


def test_who_is_disabled_is_not_let_in_again_by_another_change(
    api: LiveApi,
    user: Make,
    admin: dict[str, str],
    database: psycopg.Connection,
    settings: Settings,
) -> None:
    path = f"/api/v1/users/{user()['id']}"
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(settings.database_url) as held,
    ):
        held.execute(
            "UPDATE users SET disabled_at = clock_timestamp(), role = 'viewer' WHERE id = %s",
            (path.rpartition("/")[2],),
        )
        renamed = pool.submit(api.http.patch, path, json={"name": "A"}, headers=admin)
        eventually(lambda: waits(database))
        held.commit()
        assert renamed.result().status_code == 200
    now = api.http.get(path, headers=admin).json()
    assert (now["name"], now["disabled"], now["role"]) == ("A", True, "viewer")


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_tampered_tokens_are_none(api: LiveApi, user: Make) -> None:
    made, victim = user("viewer"), user("admin")
    token = login(api, made["login"]).json()["access_token"]
    theirs = login(api, victim["login"]).json()["access_token"]
    header, payload, signature = token.split(".")
    head, said = (
        jwt.get_unverified_header(token),
        jwt.decode(token, options={"verify_signature": False}),
    )

    forged = [
        f"{header}.{part({**said, 'sub': victim['id']})}.{signature}",
        f"{header}.{theirs.split('.')[1]}.{signature}",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        f"{part({**head, 'alg': 'none'})}.{payload}.",
        f"{part({**head, 'alg': 'None'})}.{payload}.{signature}",
        f"{part({**head, 'kid': '../../../../dev/null'})}.{payload}.{signature}",
        f"{part({**head, 'kid': ['x']})}.{payload}.{signature}",
        f"{part({**head, 'kid': None})}.{payload}.{signature}",
        f"{part({**head, 'typ': 'JWT'})}.{payload}.{signature}",
        f"{part([])}.{payload}.{signature}",
        "..",
        "a.b.c",
        "é.é.é",
        token + "." + signature,
        "x" * 100_000,
    ]
    assert me(api, token).status_code == 200
    for one in forged:
        answer = api.http.get(
            "/api/v1/auth/me", headers={"Authorization": b"Bearer " + one.encode()}
        )
        assert answer.status_code in (401, 431), one[:80]


@pytest.fixture(params=["EdDSA", "RS256", "HS256"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> TokenKeys:
    return TokenKeys(tmp_path / "keys", request.param, lifetime=60)


def signed(
    keys: TokenKeys, key: Any = None, algorithm: str = "", typ: str = TYPE, **changed: Any
) -> str:
    ours = keys.signing()
    now = int(time.time())
    said = {"iss": "triton/t", "aud": AUDIENCE, "sub": "u", "sid": "s", "jti": "j"}
    said |= {"iat": now, "nbf": now, "exp": now + 60, **changed}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None},
        ours.signing if key is None else key,
        algorithm=algorithm or ours.algorithm,
        headers={"kid": ours.kid, "typ": typ},
    )


def test_claims_are_checked_and_clocks_may_differ_a_little(keys: TokenKeys) -> None:
    tokens = AccessTokens(keys, "triton/t", lifetime_ms=60_000)
    now = int(time.time())

    assert tokens.read(tokens.issue("u", "s")).user == "u"
    assert tokens.read(signed(keys, exp=now - LEEWAY // 2)).session == "s"
    assert tokens.read(signed(keys, iat=now + LEEWAY // 2, nbf=now + LEEWAY // 2)).session == "s"
    wrong: list[dict[str, Any]] = [
        {"exp": now - 2 * LEEWAY},
        {"exp": None},
        {"nbf": now + 3 * LEEWAY},
        {"iat": now + 3 * LEEWAY},
        {"iss": "triton/other"},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sid": None},
        {"sid": 7},
        {"jti": None},
    ]
    with pytest.raises(UnauthenticatedError):
        tokens.read(signed(keys, typ="JWT"))
    for changed in wrong:
        with pytest.raises(UnauthenticatedError):
            tokens.read(signed(keys, **changed))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_no_algorithm_is_taken_for_another(keys: TokenKeys) -> None:
    tokens = AccessTokens(keys, "triton/t", lifetime_ms=60_000)
    ours = keys.signing()

    with pytest.raises(UnauthenticatedError):
        tokens.read(signed(keys, key="", algorithm="none"))
    if ours.algorithm == "HS256":
        other = token_keys.TokenKeys(keys.folder.parent / "other", "EdDSA", lifetime=60)
        with pytest.raises(UnauthenticatedError):
            tokens.read(signed(keys, key=other.signing().signing, algorithm="EdDSA"))
        with pytest.raises(UnauthenticatedError):
            tokens.read(signed(keys, algorithm="HS384"))
        return
    # The public key is known to everybody: as an HMAC's secret it must open nothing.
    for encoding, form in (
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ):
        public = ours.verifying.public_bytes(encoding, form)
        head = part({"alg": "HS256", "kid": ours.kid, "typ": TYPE})
        payload = signed(keys).split(".")[1]
        mac = hmac.new(public, f"{head}.{payload}".encode(), hashlib.sha256).digest()
        with pytest.raises(UnauthenticatedError):
            tokens.read(f"{head}.{payload}.{part(mac)}")


def test_a_token_of_another_key_with_our_id_is_none(keys: TokenKeys, tmp_path: Path) -> None:
    tokens = AccessTokens(keys, "triton/t", lifetime_ms=60_000)
    other = TokenKeys(tmp_path / "theirs", keys.signing().algorithm, lifetime=60)

    with pytest.raises(UnauthenticatedError):
        tokens.read(signed(keys, key=other.signing().signing))


def test_others_verify_by_the_keys_that_are_published(keys: TokenKeys) -> None:
    token = AccessTokens(keys, "triton/t", lifetime_ms=60_000).issue("u", "s")
    published = keys.published()
    if keys.signing().algorithm == "HS256":
        assert published == []
        return
    (one,) = published
    assert (one["kid"], one["use"]) == (keys.signing().kid, "sig")
    assert not {"d", "p", "q", "k", "dp", "dq", "qi"} & one.keys()
    read = jwt.decode(
        token, jwt.PyJWK(one).key, algorithms=[one["alg"]], audience=AUDIENCE, issuer="triton/t"
    )
    assert read["sub"] == "u"


def test_the_api_publishes_them(api: LiveApi, user: Make, settings: Settings) -> None:
    token = login(api, user()["login"]).json()["access_token"]
    answer = api.http.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=30"
    head = jwt.get_unverified_header(token)
    (one,) = [key for key in answer.json()["keys"] if key["kid"] == head["kid"]]
    jwt.decode(token, jwt.PyJWK(one).key, algorithms=[head["alg"]], audience=AUDIENCE)
    # Nobody asked for the first one; its event says that it is there.
    made = [data["key"] for kind, _, data in administrative(settings) if kind == "token_key.made"]
    assert made == [head["kid"]]


def test_keys_rotate_with_an_overlap(tmp_path: Path) -> None:
    now = float(int(time.time()))
    keys = TokenKeys(tmp_path, "EdDSA", lifetime=60, clock=lambda: now)
    first = keys.signing()
    assert (tmp_path / f"{first.kid}.EdDSA").stat().st_mode & 0o777 == 0o600

    second = token_keys.make(tmp_path, "RS256", int(now) + 10)
    # Another process, which has read the folder before, verifies it at once and signs with it later.
    now += 10
    keys._read_at = -100.0
    assert keys.signing().kid == first.kid
    assert keys.verifying(second) is not None
    now += SETTLED
    assert keys.signing().kid == second
    assert keys.verifying(first.kid) is not None
    assert [key["kid"] for key in keys.published()] == [first.kid, second]
    now += SETTLED + 61
    assert keys.verifying(first.kid) is None
    assert [key["kid"] for key in keys.published()] == [second]
    assert keys.verifying(second) is not None


def test_only_the_network_is_kept() -> None:
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("::ffff:192.0.2.77") == "192.0.2.0/24"
    assert network_of("") == network_of("testclient") == ""


def test_its_status_is_known() -> None:
    assert STATUS["too_many_logins"] == 429
