"""Owns what a client is told when something is wrong: one shape, and one table from error code to status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from triton.errors import TritonError

#: Error code -> HTTP status; a code that is not here is 500. The first of a status is what the framework's
#: own refusals are called.
STATUS: Final[Mapping[str, int]] = {
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "slow_request": 408,
    "conflict": 409,
    "not_unique": 409,
    "queue_closed": 409,
    "cursor_gone": 410,
    "erased": 410,
    "precondition_failed": 412,
    "too_large": 413,
    "unsupported_media_type": 415,
    "validation": 422,
    "idempotency_mismatch": 422,
    "precondition_required": 428,
    "quota_exceeded": 429,
    "rate_limited": 429,
    "too_many_logins": 429,
    "too_many_streams": 429,
    "headers_too_large": 431,
    "internal": 500,
    "unavailable": 503,
    "timeout": 503,
    # The log broke a promise: nothing is wrong with the request.
    "log": 503,
    "log_hole": 503,
    "log_expired": 410,
    "log_foreign_entry": 503,
    "log_forked": 503,
    "evidence": 503,
    # A setting of ours is missing for what was asked: nothing is wrong with the request either.
    "configuration": 503,
}
#: Seconds after which a client may ask again, where the error does not say it.
RETRY_AFTER: Final = 1
REQUEST_ID: Final = "X-Request-ID"
JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

_CODES: Final = {status: code for code, status in reversed(list(STATUS.items()))}
_WANTED: Final = re.compile(
    r"application/problem\+json(?:\s*;(?!\s*q=0(?:\.0*)?\s*(?:,|$))[^,]*)?\s*(?:,|$)", re.I
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Every error of the API. `code` is for programs, `message` for people.

    `details` of a validation error holds `{"fields": [{"field", "message"}, ...]}`.
    """

    code: str
    message: str
    details: dict[str, Any] = {}
    request_id: str = ""


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The same as RFC 9457 has it, for who accepts `application/problem+json`. `type` is left out: the status
    says the kind, `code` says more."""

    title: str
    status: int
    detail: str
    code: str
    message: str
    details: dict[str, Any] = {}
    request_id: str = ""


class MalformedError(TritonError):
    """The request's body is not what its type says."""

    code = "malformed"


def code_of(status: int) -> str:
    """What a status is called that came without a code."""
    return str(_CODES.get(status, "http"))


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
    """The error as the request's Accept asks for it."""
    request_id = request_id_of(request)
    problem = Problem(
        code=code, message=message, details=dict(details or {}), request_id=request_id
    )
    shown: Problem | ProblemDetails = problem
    media_type = JSON
    if _WANTED.search(request.headers.get("accept", "")):
        media_type = PROBLEM_JSON
        shown = ProblemDetails(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=message,
            code=code,
            message=message,
            details=problem.details,
            request_id=request_id,
        )
    own = {"Vary": "Accept", "Cache-Control": "no-store"}
    if status in (429, 503):
        own["Retry-After"] = str(problem.details.get("retry_after", RETRY_AFTER))
    if status == 401:
        own["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(shown, enc_hook=str),
        status_code=status,
        media_type=media_type,
        # Also here, because an unexpected error is answered outside of the middleware.
        headers={**own, **(headers or {}), REQUEST_ID: request_id},
    )
