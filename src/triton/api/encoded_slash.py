"""Owns that a name in a path may hold a slash: `%2F` does not part the path, it is of the name.

Servers decode a path before it is routed. So a raw path with an encoded slash is decoded here, segment by
segment, and a stand-in goes through the router in place of the slash.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

#: A noncharacter of Unicode: no name holds it, because names are printable.
STAND_IN: Final = "\ufdd0"


class EncodedSlashMiddleware:
    """Lets `/jobs/a%2Fb` reach the route of one job."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or b""
        if scope["type"] == "http" and b"%2f" in raw.lower():
            # In place: what counts requests outside of here looks for the route that was found.
            scope["path"] = routable(raw)
        await self._app(scope, receive, send)


def routable(raw: bytes) -> str:
    """The path to route by."""
    segments = raw.decode("latin-1").split("/")
    return "/".join(unquote(segment).replace("/", STAND_IN) for segment in segments)


def with_slashes(value: object) -> object:
    """A parameter of such a path, as it was meant."""
    return value.replace(STAND_IN, "/") if isinstance(value, str) else value
