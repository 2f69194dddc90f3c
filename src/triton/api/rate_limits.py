"""Owns how often one key and one address may ask: token buckets in Redis, shared by all processes.

Both buckets are looked at in one script, so a request costs one round trip; without a setting it costs none.
Where Redis does not answer in time, requests go on: what they need of it fails by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import math
import random
import re
from importlib import resources
from typing import Final, NamedTuple, cast

import redis.asyncio
from redis.exceptions import RedisError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton import keys
from triton.api.batches import wants_json
from triton.api.problems import respond
from triton.api.sse import complete
from triton.errors import ConfigurationError
from triton.feed import frames
from triton.observe.logger import get_logger

#: Probes are asked by machines that must never be told to wait.
FREE: Final = frozenset({"/health", "/health/ready", "/ready"})
#: Seconds that Redis has to answer.
_TIMEOUT: Final = 0.5
#: Milliseconds over which streams come back.
_SPREAD_MS: Final = 2000
_RATE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)/(\d{1,6})")
_log = get_logger("triton.api")


class Rate(NamedTuple):
    """Requests a second, and how many may come at once."""

    per_second: float
    burst: int


def rate_of(text: str, setting: str) -> Rate | None:
    """The rate of a setting such as `50/200`; None for an empty one. Raises ConfigurationError."""
    if not text:
        return None
    found = _RATE.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0 or int(found[2]) < 1:
        raise ConfigurationError(
            f"TRITON_{setting.upper()} is {text!r}, expected requests a second and how many may come at "
            "once, such as 50/200; empty for no limit",
            setting=setting,
        )
    return Rate(float(found[1]), int(found[2]))


class RateLimitMiddleware:
    """Answers 429 where a bucket is empty, before it is looked up who asks: guessing keys is limited too."""

    def __init__(
        self, app: ASGIApp, namespace: str, per_key: Rate | None, per_address: Rate | None
    ) -> None:
        self._app = app
        self._prefix = keys.prefix(namespace, 0)
        self._per_key = per_key
        self._per_address = per_address
        self._script = resources.files("triton.api").joinpath("rates.lua").read_text()
        self._away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        buckets = self._buckets(scope) if scope["type"] == "http" else {}
        if not buckets:
            await self._app(scope, receive, send)
            return
        left, wait_ms = await self._asked(scope["app"].state.services.redis, buckets)
        limit = str(min(rate.burst for rate in buckets.values()))
        told = [(b"ratelimit-limit", limit.encode()), (b"ratelimit-remaining", str(left).encode())]
        if wait_ms and _comes_back(scope):
            # To an EventSource a 429 is the end. Chance spreads those who share a bucket.
            later = wait_ms + random.randrange(_SPREAD_MS)  # noqa: S311
            await complete(frames.bye("limited", later))(scope, receive, send)
            return
        if wait_ms:
            seconds = math.ceil(wait_ms / 1000)
            answer = respond(
                Request(scope),
                429,
                "rate_limited",
                f"too many requests: ask again in {seconds} s",
                {"retry_after": seconds},
            )
            answer.raw_headers.extend(told)
            await answer(scope, receive, send)
            return

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        await self._app(scope, receive, send_told)

    def _buckets(self, scope: Scope) -> dict[str, Rate]:
        found: dict[str, Rate] = {}
        if scope["path"] in FREE:
            return found
        headers = Headers(scope=scope)
        # As it is read later: the same key in other blanks or letters has no bucket of its own.
        named = headers.get("authorization", "").partition(" ")[2] or headers.get("x-api-key", "")
        if self._per_key is not None and (credential := named.strip()):
            digest = hashlib.sha256(credential.encode()).hexdigest()[:32]
            found[keys.rate(self._prefix, f"key:{digest}")] = self._per_key
        if self._per_address is not None and scope.get("client"):
            address = network_of(scope["client"][0])
            found[keys.rate(self._prefix, f"address:{address}")] = self._per_address
        return found

    async def _asked(
        self, client: redis.asyncio.Redis, buckets: dict[str, Rate]
    ) -> tuple[int, int]:
        """What is left, and milliseconds to wait."""
        args = [str(part) for rate in buckets.values() for part in rate]
        try:
            async with asyncio.timeout(_TIMEOUT):
                script = client.register_script(self._script)
                answer = await script(keys=list(buckets), args=args)
        except (RedisError, TimeoutError) as error:
            if not self._away:
                _log.warning("rates_not_limited", reason=str(error) or repr(error))
            self._away = True
            return 0, 0
        self._away = False
        _, left, wait_ms = cast("tuple[int, int, int]", answer)
        return left, wait_ms


def _comes_back(scope: Scope) -> bool:
    """Whether it is a stream that was there before: it brings a cursor."""
    if not scope["path"].endswith("/subscribe"):
        return False
    request = Request(scope)
    cursor = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    return bool(cursor) and not wants_json(request)


def network_of(address: str) -> str:
    """The address, or the /64 of an IPv6 one: whoever has one address of it has all."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)
