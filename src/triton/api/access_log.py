"""Owns the log of requests: a line for each that is answered, and of a stream one at its beginning and one at
its end. Routes are told by their templates: a path may hold what is a tenant's own.
"""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.http_metrics import UNROUTED
from triton.identity.principal import Principal
from triton.observe.logger import get_logger

#: In a request's state: what is told of its stream.
_STREAM: Final = "stream_log"
#: Asked every few seconds by machines: told at `debug`.
_PROBES: Final = frozenset({"/health", "/ready", "/health/ready", "/metrics"})
_STREAMS: Final = b"text/event-stream"
_log: Final = get_logger("triton.access")


class StreamLog:
    """What is told of one stream when it ends."""

    __slots__ = ("_begun", "_ended", "_told")

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._begun = time.monotonic()
        self._ended = False

    def end(self) -> None:
        """It is over; only the first call says so."""
        if not self._ended:
            self._ended = True
            seconds = round(time.monotonic() - self._begun, 3)
            _log.info("stream_ended", **self._told, seconds=seconds)


def stream_log(scope: Scope) -> StreamLog | None:
    """What is told of a request's stream at its end; None where nothing is."""
    found = scope.get("state", {}).get(_STREAM)
    return found if isinstance(found, StreamLog) else None


class AccessLogMiddleware:
    """Tells of each answer once it is sent. Inside of what makes the request id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0
        streams = False

        async def send_noted(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                streams = status == 200 and _is_stream(message)
                if streams:
                    told = _told(scope, status)
                    # At its end nobody's context is left, so it says which request it was by itself.
                    told["request_id"] = scope["state"]["request_id"]
                    scope["state"][_STREAM] = StreamLog(told)
                    _log.info("stream_opened", **told)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if not streams:
                ms = round((time.perf_counter() - begun) * 1000, 1)
                told = _told(scope, status)
                say = _log.debug if told["route"] in _PROBES else _log.info
                # Nothing was sent: the client left, or the connection broke.
                say("request" if status else "request_unanswered", **told, ms=ms)


def _told(scope: Scope, status: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "method": scope["method"],
        "route": getattr(scope.get("route"), "path", UNROUTED),
        "status": status,
    }
    principal = scope.get("state", {}).get("principal")
    if isinstance(principal, Principal):
        told["by"] = principal.by
        if principal.tenant:
            told["tenant"] = principal.tenant
    return told


def _is_stream(message: Message) -> bool:
    headers = {name.lower(): value for name, value in message.get("headers", ())}
    # One with a length is over at once: why there is no stream, as a browser's EventSource understands it.
    return (
        headers.get(b"content-type", b"").startswith(_STREAMS) and b"content-length" not in headers
    )
