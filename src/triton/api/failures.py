"""Owns which exception becomes which problem."""

from __future__ import annotations

from http import HTTPStatus

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.encoded_slash import with_slashes
from triton.api.head_requests import answers_head
from triton.api.problems import STATUS, code_of, respond
from triton.errors import TritonError, log_refused
from triton.observe.logger import get_logger

_log = get_logger("triton.api")


def install(app: FastAPI) -> None:
    """Answer every error of the application in one shape."""
    app.add_exception_handler(TritonError, raised)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(HTTPException, _http)
    for kind in (RedisError, psycopg.OperationalError, PoolTimeout):
        app.add_exception_handler(kind, _engine)
    app.add_exception_handler(psycopg.DataError, _data)
    app.add_exception_handler(ClientDisconnect, _left)


async def raised(request: Request, error: Exception) -> Response:
    """The answer to an error of ours."""
    assert isinstance(error, TritonError)
    status = STATUS.get(error.code, 500)
    if status == 500 or error.code == "configuration":
        _log.error("request_failed", code=error.code, reason=error.message)
    return respond(request, status, error.code, error.message, error.details)


async def _parameters(request: Request, error: Exception) -> Response:
    """A path, query or header parameter that does not fit."""
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "field": ".".join(str(part) for part in found["loc"][1:]),
            "message": with_slashes(found["msg"]),
        }
        for found in error.errors()
    ]
    named = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return respond(request, 422, "validation", named, {"fields": fields})


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, no such method."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    message = {
        404: f"There is nothing at {what}; see /docs for what there is.",
        405: f"{what} is not allowed; see the Allow header.",
    }.get(error.status_code, f"{HTTPStatus(error.status_code).phrase}: {error.detail}")
    headers = dict(error.headers or {})
    if error.status_code == 405 and (allowed := _methods(request)):
        headers["Allow"] = ", ".join(allowed)
    code = code_of(error.status_code)
    return respond(request, error.status_code, code, message, headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods of the path; the framework names those of its first route only."""
    path = request.scope["path"]
    paths = request.app.openapi()["paths"]
    # As OpenAPI has it: a path without a parameter goes before one with, such as that of a job named `bulk`.
    fitting = [path] if path in paths else [t for t in paths if compile_path(t)[0].match(path)]
    found = {method.upper() for template in fitting for method in paths[template]}
    if "GET" in found and answers_head(path):
        found.add("HEAD")
    return sorted(found)


async def _engine(request: Request, error: Exception) -> Response:
    """An engine did not answer, or not in time."""
    name = "Redis" if isinstance(error, RedisError) else "PostgreSQL"
    _log.warning("engine_unavailable", engine=name, reason=str(error))
    if isinstance(error, OutOfMemoryError):
        # It answers well enough: what it says is that it is full.
        message = (
            "Redis is full (maxmemory), and takes no jobs until there is room; try again then."
        )
    elif log_refused(error):
        message = (
            "The log takes no events: something that is not Triton wrote to it. `triton doctor` names the "
            "partition, docs/troubleshooting.md says how it goes on."
        )
    else:
        message = f"{name} does not answer; try again. /health/ready says more."
    return respond(request, 503, "unavailable", message)


async def _data(request: Request, error: Exception) -> Response:
    """PostgreSQL cannot hold a value of the request, such as U+0000 in a text."""
    # Not what it says, which quotes the value.
    kind = error.sqlstate if isinstance(error, psycopg.Error) else None
    _log.warning("value_refused", engine="PostgreSQL", sqlstate=kind)
    message = (
        "a value of the request cannot be stored: texts hold no U+0000, and numbers have bounds"
    )
    return respond(request, 422, "validation", message)


async def _left(request: Request, _: Exception) -> Response:
    """The client broke off; nobody reads this answer."""
    return respond(request, 400, "malformed", "the request ended before its body did")


async def _unexpected(request: Request, error: Exception) -> Response:
    """A bug. The client learns the request id, the server's log has the rest."""
    route = getattr(request.scope.get("route"), "path", "")
    _log.error("request_crashed", method=request.method, route=route, exc_info=error)
    return respond(
        request, 500, "internal", "Something broke on our side; quote the request id to find it."
    )


class CrashMiddleware:
    """Answers what no handler took. The framework does this outside of every other layer, where an answer
    gets neither its request id nor any other header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await (await _unexpected(Request(scope), error))(scope, receive, send)
