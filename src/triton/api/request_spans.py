"""Owns the spans of requests, where this process traces: who called is their parent, and jobs are their
children. A stream's span ends with its headers: how long it is held says nothing of the platform.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.http_metrics import UNROUTED
from triton.observe.spans import Spans, traceparent_of

_TRACEPARENT: Final = "traceparent"
_PROBES: Final = frozenset({"/health", "/ready", "/health/ready", "/metrics"})


class RequestSpansMiddleware:
    """A span for each request. Routes find its traceparent where they look for the client's."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        run = self._spans.serving(scope["method"], Headers(scope=scope).get(_TRACEPARENT, ""))
        MutableHeaders(scope=scope)[_TRACEPARENT] = traceparent_of(run.span)
        status = 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            request_id = str(scope.get("state", {}).get("request_id", ""))
            values = {"triton.request_id": request_id} if request_id else {}
            self._spans.served(run, scope["method"], route, status, **values)
