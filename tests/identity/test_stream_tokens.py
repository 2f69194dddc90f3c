"""Stream tokens by themselves: written, read, changed, expired, and their keys from day to day."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import jwt
import msgspec
import pytest

from triton import keys
from triton.events.client import connect_async
from triton.identity.stream_keys import PERIOD, StreamKeys
from triton.identity.stream_tokens import MARK, Scope, StreamToken, key_id, read, write
from triton.stack.engines import Engines

T = TypeVar("T")
KEY = bytes(range(64))
TOKEN = StreamToken(
    id="0123456789abcdef",
    by="key:abc",
    scope=Scope(tenant="acme", jobs=("j1", "j2"), types=("job.output",)),
    issued_at=int(time.time()),
    expires_at=int(time.time()) + 600,
)


def written(**changes: Any) -> str:
    return write(msgspec.structs.replace(TOKEN, **changes), "ns", 7, KEY)


def forged(claims: dict[str, Any], **options: Any) -> str:
    """What somebody writes who knows how they look."""
    whole = {
        "iss": "triton",
        "aud": "stream:ns",
        "jti": "x",
        "sub": "key:abc",
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
        "scope": {"tenant": "acme"},
    } | claims
    given = {name: value for name, value in whole.items() if value is not None}
    return MARK + jwt.encode(given, **{"key": KEY, "algorithm": "HS256"} | options)


def test_what_was_written_is_read() -> None:
    assert key_id(written()) == 7
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
        pytest.param(forged({"iat": int(time.time()) + 500}), id="from the future"),
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


@pytest.mark.parametrize("kid", [None, 7, "x", "-1", "9" * 30, "../../etc/passwd", "７"])
def test_a_key_is_named_by_a_number_or_not_at_all(kid: Any) -> None:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": kid}).encode()).decode()
    assert key_id(f"{MARK}{header.rstrip('=')}.e30.AAAA") is None
    assert key_id(written()[len(MARK) :]) is None
    assert key_id(written() + "A" * 9000) is None


def with_keys(
    engines: Engines, tried: Callable[[Callable[..., StreamKeys], str], Awaitable[None]]
) -> None:
    namespace = "t" + secrets.token_hex(5)

    async def run() -> None:
        async with connect_async(engines.redis_url) as client:

            def process(**options: Any) -> StreamKeys:
                return StreamKeys(client, namespace, **options)

            await tried(process, namespace)
            await client.delete(keys.stream_keys(keys.prefix(namespace, 0)))

    asyncio.run(run())


def test_all_processes_sign_with_the_same_key(engines: Engines) -> None:
    async def tried(process: Callable[..., StreamKeys], _: str) -> None:
        found = await asyncio.gather(*(process().current() for _ in range(5)))
        assert len(set(found)) == 1
        number, key = found[0]
        assert len(key) == 32
        assert await process().find(number) == key
        assert await process().find(number - 1) is None

    with_keys(engines, tried)


def test_keys_change_by_themselves_and_a_token_outlives_the_change(engines: Engines) -> None:
    async def tried(process: Callable[..., StreamKeys], _: str) -> None:
        clock = [1000 * PERIOD + 5.0]
        one, other = (process(now=lambda: clock[0], fresh=0) for _ in range(2))
        number, old = await one.current()
        clock[0] += PERIOD - 10
        assert await one.current() == (number, old)
        clock[0] += 10
        after, new = await other.current()
        assert (after, new == old) == (number + 1, False)
        assert await one.find(after) == new, "a process that did not make it finds it"
        assert await one.find(number) == old, "a token of yesterday lives for a day"
        clock[0] += PERIOD
        await one.current()
        assert await one.find(number) is None
        assert number not in await one._all(), "and the key is gone"

    with_keys(engines, tried)


def test_forgetting_the_keys_ends_every_token(engines: Engines) -> None:
    async def tried(process: Callable[..., StreamKeys], _: str) -> None:
        one, other = process(fresh=0), process(fresh=0)
        number, key = await one.current()
        assert await other.find(number) == key
        await other.forget()
        assert await one.find(number) is None
        assert (await one.current())[1] != key

    with_keys(engines, tried)
