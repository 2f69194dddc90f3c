"""Owns the headers that keep a browser from doing more with an answer than it is meant for."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of everything that is no page: nothing may run in it, and nobody frames it.
_DATA_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
#: Of pages: scripts of ours, and those that are in the page as it was sent. Swagger UI, ReDoc and /live set
#: styles in place; ReDoc searches in a worker that it makes itself.
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_INLINE: Final = re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script>", re.S | re.I)
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_POLICY: Final = b"content-security-policy"
#: Bytes of a page at most: it is held until its scripts are known.
_MAX_PAGE: Final = 1024 * 1024


class SecurityHeadersMiddleware:
    """Adds them to every answer that does not have them. `hsts_seconds` 0 leaves that one out: it binds the
    whole host name to TLS, and only its owner can say so."""

    def __init__(self, app: ASGIApp, hsts_seconds: int = 0) -> None:
        self._app = app
        self._headers = list(_ALWAYS)
        if hsts_seconds:
            value = f"max-age={hsts_seconds}".encode()
            self._headers.append((b"strict-transport-security", value))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        page: _Page | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal page
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                names = {name.lower(): value for name, value in headers}
                headers += [pair for pair in self._headers if pair[0] not in names]
                if b"cross-origin-resource-policy" not in names:
                    shared = b"access-control-allow-origin" in names
                    policy = b"cross-origin" if shared else b"same-origin"
                    headers.append((b"cross-origin-resource-policy", policy))
                message = {**message, "headers": headers}
                if _POLICY not in names:
                    if names.get(b"content-type", b"").startswith(b"text/html"):
                        page = _Page(message)
                        return
                    headers.append((_POLICY, _DATA_POLICY))
            if page is not None:
                if not page.take(message):
                    return
                await send(page.start())
                message = {**message, "body": bytes(page.body)}
                page = None
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _Page:
    """A page that is held back until all of it is there."""

    def __init__(self, start: Message) -> None:
        self._start = start
        self.body = bytearray()

    def take(self, message: Message) -> bool:
        """Whether the page can be sent: what is too large goes without scripts in place."""
        self.body += message.get("body", b"")
        return not message.get("more_body", False) or len(self.body) > _MAX_PAGE

    def start(self) -> Message:
        value = page_policy(bytes(self.body)).encode()
        return {**self._start, "headers": [*self._start["headers"], (_POLICY, value)]}


def page_policy(page: bytes) -> str:
    """The policy of a page: its own scripts by their digests, so that none that was put into it runs."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE.findall(page))
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return _PAGE_POLICY.format(hashes=hashes)
