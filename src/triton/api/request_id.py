"""Owns the request id: taken from the client or made here, kept with the request, sent back."""

from __future__ import annotations

import re
from typing import Final

import structlog
import uuid_utils
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.problems import REQUEST_ID

_USABLE: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,100}")


class RequestIdMiddleware:
    """Sets `request.state.request_id`, the response's header and the id in every line of our log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _USABLE.fullmatch(given) else str(uuid_utils.uuid7())
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        header = (REQUEST_ID.lower().encode(), request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ())]
                if not any(name.lower() == header[0] for name, _ in headers):
                    headers.append(header)
                message["headers"] = headers
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


def cause() -> str:
    """What events came of that belong to somebody else's job: this request. Their correlation is the job's,
    or who follows its batch would not see it end."""
    return f"request:{current_request()}"


def current_request() -> str:
    """The id of the request that this task answers; empty outside of one. What a request causes has it as
    its correlation, whoever made it: administrative events, and jobs that say nothing else."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
