"""Owns which pages of other origins browsers let in: exact origins by setting, with credentials."""

from __future__ import annotations

import re
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Send

from triton.errors import ConfigurationError

#: What pages may send. A browser asks for Last-Event-ID only where an id is long or unusual.
REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Traceparent",
    "X-Request-ID",
    "X-Triton-Tenant",
)
#: What pages may read of an answer besides what every page may.
ANSWER_HEADERS: Final = (
    "Allow",
    "Content-Disposition",
    "ETag",
    "Last-Event-ID",
    "Link",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
#: Seconds for which a browser need not ask again.
_MAX_AGE: Final = 600
_ORIGIN: Final = re.compile(
    r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def origins_of(text: str) -> frozenset[str]:
    """The origins of a setting, comma-separated, as browsers spell them.

    Raises ConfigurationError for what is no exact origin: `*`, `null`, a path, another scheme.
    """
    return frozenset(_origin(part.strip()) for part in text.split(",") if part.strip())


def _origin(text: str) -> str:
    found = text.lower()
    if not _ORIGIN.fullmatch(found):
        raise ConfigurationError(
            f"TRITON_CORS_ORIGINS holds {text!r}, which is no origin: each is a scheme, a host and "
            "perhaps a port, such as https://app.example.com, without a path or a slash at the end. "
            "There is no `*`: pages that may use a person's credentials are named one by one",
            setting="cors_origins",
        )
    return found.removesuffix(_DEFAULT_PORTS[found.partition(":")[0]])


def install(app: FastAPI, origins: frozenset[str]) -> None:
    """Around everything else, so that pages can read errors of every kind too. No origins: nothing."""
    if not origins:
        return
    inner = app.build_middleware_stack

    def build() -> ASGIApp:
        return _ExactCors(
            inner(),
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            allow_credentials=True,
            max_age=_MAX_AGE,
        )

    app.build_middleware_stack = build  # type: ignore[method-assign]


class _ExactCors(CORSMiddleware):
    """Starlette's, which gives an unknown origin everything but the one header that would let it in: here
    it gets nothing, so that no answer joins credentials with a wildcard of its own."""

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        if message["type"] == "http.response.start" and not self.is_allowed_origin(
            request_headers.get("Origin", "")
        ):
            message.setdefault("headers", [])
            MutableHeaders(scope=message).add_vary_header("Origin")
            await send(message)
            return
        await super().send(message, send, request_headers)
