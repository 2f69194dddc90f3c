"""Stream tokens by themselves: written, read, changed, expired, and what a new key does to them."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from triton.errors import UnauthenticatedError
from triton.identity import token_keys
from triton.identity.stream_tokens import MARK, Scope, StreamToken, key_id, read, write
from triton.identity.token_keys import TokenKey, TokenKeys
from triton.identity.tokens import AccessTokens

SECRET = bytes(range(64))
KEY = TokenKey("7-0123abcd", 7, "HS256", SECRET, SECRET)
TOKEN = StreamToken(
    id="0123456789abcdef",
    by="key:abc",
    scope=Scope(tenant="acme", jobs=("j1", "j2"), types=("job.output",)),
    issued_at=int(time.time()),
    # Of when this module was loaded, which is long before its tests run.
    expires_at=int(time.time()) + 86_400,
)


def written(**changes: Any) -> str:
    return write(msgspec.structs.replace(TOKEN, **changes), "ns", KEY)


def forged(claims: dict[str, Any], **options: Any) -> str:
    """What somebody writes who knows how they look."""
    whole = {
        "iss": "triton",
        "aud": "stream:ns",
        "jti": "x",
        "sub": "key:abc",
        "iat": int(time.time()),
        "exp": int(time.time()) + 86_400,
        "scope": {"tenant": "acme"},
    } | claims
    given = {name: value for name, value in whole.items() if value is not None}
    return MARK + jwt.encode(given, **{"key": SECRET, "algorithm": "HS256"} | options)


def test_what_was_written_is_read() -> None:
    assert key_id(written()) == KEY.kid
    assert read(written(), "ns", KEY) == TOKEN
    assert read(forged({}), "ns", KEY) != "invalid", "a forgery is otherwise as it should be"


def test_every_changed_character_is_noticed() -> None:
    text = written()
    for index in range(len(MARK), len(text)):
        for other in ("A", "_", "."):
            changed = text[:index] + other + text[index + 1 :]
            if changed != text and _payload(changed) != _payload(text):
                assert read(changed, "ns", KEY) == "invalid"


def _payload(text: str) -> object:
    """What is signed and the signature, as bytes: the last character of each part has spare bits."""
    parts = text[len(MARK) :].split(".")
    try:
        last = base64.urlsafe_b64decode(parts[-1] + "==")
    except ValueError:
        last = b""
    return parts[:-1], last


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(forged({}, key=bytes(64)), id="another key"),
        pytest.param(forged({}, key=None, algorithm="none"), id="no signature"),
        pytest.param(forged({}, algorithm="HS512"), id="another algorithm"),
        pytest.param(forged({"aud": "stream:other"}), id="another platform"),
        pytest.param(forged({"aud": ["stream:ns", "x"]}), id="several audiences"),
        pytest.param(forged({"aud": "access:ns"}), id="a token for something else"),
        pytest.param(forged({"iss": "other"}), id="another issuer"),
        pytest.param(forged({"exp": None}), id="without an end"),
        pytest.param(forged({"aud": None}), id="for anybody"),
        pytest.param(forged({"scope": None}), id="without a scope"),
        pytest.param(forged({"scope": {"jobs": ["j"]}}), id="without a tenant"),
        pytest.param(
            forged({"scope": {"tenant": "acme", "jobs": "j"}}), id="a scope of another form"
        ),
        pytest.param(forged({"iat": int(time.time()) + 80_000}), id="from the future"),
        pytest.param(MARK, id="nothing"),
        pytest.param(MARK + "a.b.c", id="no JWT"),
    ],
)
def test_what_is_not_ours_is_refused_and_all_of_it_alike(text: str) -> None:
    assert read(text, "ns", KEY) == "invalid"


def test_an_expired_token_is_told_so() -> None:
    now = int(time.time())
    assert read(written(issued_at=now - 20, expires_at=now - 1), "ns", KEY) == "expired"
    changed = written(issued_at=now - 20, expires_at=now - 1)[:-4] + "AAAA"
    assert read(changed, "ns", KEY) == "invalid", "but only to who holds it"


@pytest.mark.parametrize("header", [{}, {"kid": 7}, {"kid": None}, {"kid": "7-0123abcd"}])
def test_a_key_is_named_by_a_stream_token_or_not_at_all(header: dict[str, Any]) -> None:
    written_header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", **header}).encode())
    assert key_id(f"{MARK}{written_header.decode().rstrip('=')}.e30.AAAA") is None
    assert key_id(written()[len(MARK) :]) is None
    assert key_id(written() + "A" * 9000) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "token-keys"


def test_a_token_outlives_a_new_key_and_no_longer(folder: Path) -> None:
    """An access token counts for minutes, a stream token of before the new key for its whole hour."""
    clock = [1_000_000.0]
    keys = TokenKeys(folder, "EdDSA", lifetime=3600, clock=lambda: clock[0])
    old = keys.signing()
    token_keys.make(folder, "EdDSA", int(clock[0]) + 100)
    other = TokenKeys(folder, "EdDSA", lifetime=3600, clock=lambda: clock[0])
    clock[0] += 100 + token_keys.SETTLED
    new = other.signing()
    assert new.kid != old.kid
    text = write(TOKEN, "ns", old)
    clock[0] += 3500
    kept = other.verifying(key_id(text))
    assert kept is not None
    assert read(text, "ns", kept) == TOKEN
    assert read(text, "ns", new) == "invalid"
    clock[0] += 200
    assert other.verifying(key_id(text)) is None
    assert other.verifying(key_id(write(TOKEN, "ns", new))) == new


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "HS256"])
def test_each_kind_of_key_signs(folder: Path, algorithm: str) -> None:
    key = TokenKeys(folder, algorithm, lifetime=60).signing()
    text = write(TOKEN, "ns", key)
    assert len(text) < 1000
    assert read(text, "ns", key) == TOKEN


def test_an_access_token_is_no_stream_token_and_the_other_way_round(folder: Path) -> None:
    """Both are signed with one key, so nothing but their type and audience keeps them apart."""
    keys = TokenKeys(folder, "EdDSA", lifetime=60)
    access = AccessTokens(keys, "triton/ns", lifetime_ms=60_000)
    disguised = MARK + access.issue("somebody", "session")
    assert key_id(disguised) is None
    assert read(disguised, "ns", keys.signing()) == "invalid"
    with pytest.raises(UnauthenticatedError):
        access.read(write(TOKEN, "ns", keys.signing())[len(MARK) :])
