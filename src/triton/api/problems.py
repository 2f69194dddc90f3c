"""Owns what a client is told when something is wrong: one shape, and one table from error code to status."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import compile_path

from triton.errors import TritonError

#: Error code -> HTTP status; a code that is not here is 500.
STATUS: Final[Mapping[str, int]] = {
    "malformed": 400,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "not_unique": 409,
    "queue_closed": 409,
    "cursor_gone": 410,
    "erased": 410,
    "too_large": 413,
    "validation": 422,
    "idempotency_mismatch": 422,
    # The log broke a promise: nothing is wrong with the request.
    "log": 503,
    "log_hole": 503,
    "log_foreign_entry": 503,
    "log_forked": 503,
    "unavailable": 503,
}
REQUEST_ID: Final = "X-Request-ID"

_log = structlog.get_logger("triton.api")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Every error of the API. `code` is for programs, `message` for people.

    `details` of a validation error holds `{"fields": [{"field", "message"}, ...]}`.
    """

    code: str
    message: str
    details: dict[str, Any] = {}
    request_id: str = ""


class MalformedError(TritonError):
    """The request's body is not what its type says."""

    code = "malformed"


def request_id_of(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def respond(
    request: Request,
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    request_id = request_id_of(request)
    problem = Problem(
        code=code, message=message, details=dict(details or {}), request_id=request_id
    )
    return Response(
        msgspec.json.encode(problem, enc_hook=str),
        status_code=status,
        media_type="application/json",
        # Also here, because an unexpected error is answered outside of the middleware.
        headers={**(headers or {}), REQUEST_ID: request_id, "Cache-Control": "no-store"},
    )


def install(app: FastAPI) -> None:
    """Answer every error of the application in this shape."""
    app.add_exception_handler(TritonError, _triton)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(HTTPException, _http)
    for kind in (RedisError, psycopg.OperationalError, PoolTimeout):
        app.add_exception_handler(kind, _engine)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _unexpected)


async def _triton(request: Request, error: Exception) -> Response:
    assert isinstance(error, TritonError)
    status = STATUS.get(error.code, 500)
    if status == 500:
        _log.error("request failed", code=error.code, reason=error.message)
    return respond(request, status, error.code, error.message, error.details)


async def _parameters(request: Request, error: Exception) -> Response:
    """A path, query or header parameter that does not fit."""
    assert isinstance(error, RequestValidationError)
    fields = [
        {"field": ".".join(str(part) for part in found["loc"][1:]), "message": found["msg"]}
        for found in error.errors()
    ]
    named = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
    return respond(request, 422, "validation", named, {"fields": fields})


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, no such method."""
    assert isinstance(error, HTTPException)
    codes = {status: code for code, status in STATUS.items()}
    code = codes.get(error.status_code, "http")
    what = f"{request.method} {request.url.path}"
    message = {
        404: f"There is nothing at {what}; see /docs for what there is.",
        405: f"{what} is not allowed; see the Allow header.",
    }.get(error.status_code, f"{HTTPStatus(error.status_code).phrase}: {error.detail}")
    headers = dict(error.headers or {})
    if error.status_code == 405 and (allowed := _methods(request)):
        headers["Allow"] = ", ".join(allowed)
    return respond(request, error.status_code, code, message, headers=headers)


def _methods(request: Request) -> list[str]:
    """All methods of the path; the framework names those of its first route only."""
    path = request.scope["path"]
    return sorted(
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    )


async def _engine(request: Request, error: Exception) -> Response:
    """An engine did not answer, or not in time."""
    name = "Redis" if isinstance(error, RedisError) else "PostgreSQL"
    _log.warning("engine unavailable", engine=name, reason=str(error))
    if isinstance(error, OutOfMemoryError):
        # It answers well enough: what it says is that it is full.
        message = (
            "Redis is full (maxmemory), and takes no jobs until there is room; try again then."
        )
    else:
        message = f"{name} does not answer; try again. /health/ready says more."
    return respond(request, 503, "unavailable", message, headers={"Retry-After": "1"})


async def _left(request: Request, _: Exception) -> Response:
    """The client broke off; nobody reads this answer."""
    return respond(request, 400, "malformed", "the request ended before its body did")


async def _unexpected(request: Request, error: Exception) -> Response:
    """A bug. The client learns the request id, the server's log has the rest."""
    _log.error("request crashed", path=request.url.path, error=repr(error))
    return respond(
        request, 500, "internal", "Something broke on our side; quote the request id to find it."
    )
