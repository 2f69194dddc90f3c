"""Owns that what answers GET answers HEAD: the same status and headers, and no body.

Streams do not: one has no end, and its headers say nothing. The body is made, for its length and ETag, and
the server leaves it out of what it sends.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What ends the path of every route that opens streams.
STREAMS: Final = "/subscribe"


def answers_head(path: str) -> bool:
    """Whether a path that answers GET answers HEAD too."""
    return not path.endswith(STREAMS)


class HeadMiddleware:
    """Lets the routes take a HEAD for a GET; the layers around see what was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not answers_head(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_as_head(message: Message) -> None:
            scope["method"] = "HEAD"
            await send(message)

        # In place: what counts requests outside of here looks for the route that was found.
        scope["method"] = "GET"
        try:
            await self._app(scope, receive, send_as_head)
        finally:
            scope["method"] = "HEAD"
