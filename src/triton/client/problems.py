"""Owns what goes wrong between a client and the API: every answer and every silence as one of our errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from triton.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TritonError,
    UnavailableError,
    ValidationError,
)

#: Statuses that ask to come back later.
LATER: Final = frozenset({429, 502, 503, 504})
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
#: Codes whose class is not in `triton.errors`, and statuses of codes that are not known here.
_CODES: Final[Mapping[str, type[TritonError]]] = {
    "malformed": ValidationError,
    "too_large": ValidationError,
}
_STATUSES: Final[Mapping[int, type[TritonError]]] = {
    400: ValidationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ValidationError,
    414: ValidationError,
    415: ValidationError,
    422: ValidationError,
    429: UnavailableError,
    431: ValidationError,
    503: UnavailableError,
}


class _Problem(msgspec.Struct):
    code: str
    message: str
    details: dict[str, Any] = {}
    request_id: str = ""


def problem_of(url: str, status: int, body: bytes) -> TritonError:
    """The error that an answer with a status from 400 on tells of: its class by the API's code."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        return UnavailableError(
            f"What answers at {url} is not Triton's API (status {status} without a problem): is this "
            "its address?"
        )
    kind = _CODES.get(problem.code) or _class_of(problem.code) or _STATUSES.get(status, TritonError)
    error = kind(problem.message)
    error.code, error.details = problem.code, problem.details
    error.request_id = problem.request_id
    return error


def unreachable(url: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"The API at {url} does not answer ({str(error) or type(error).__name__}): start it with "
        "`triton up`, or name another (--data or --url)."
    )


def not_ours(url: str, what: str) -> UnavailableError:
    """The error for an answer that Triton's API would not give."""
    return UnavailableError(
        f"What answers at {url} is not Triton's API ({what}): is this its address?"
    )


def unfit(error: Exception) -> ValidationError:
    """The error for what cannot be written as a request: above all, more values than a URL holds."""
    said = str(error).rstrip(".")
    return ValidationError(f"this cannot be asked for in one request ({said}): name fewer values.")


def local(url: str) -> bool:
    """Whether the URL stays on this machine: then no proxy of the environment is asked."""
    return urlsplit(url).hostname in _LOOPBACK


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; None without one.

    `now` is in seconds since 1970.
    """
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _class_of(code: str) -> type[TritonError] | None:
    return next((kind for kind in _below(TritonError) if kind.__dict__.get("code") == code), None)


def _below(kind: type[TritonError]) -> Iterator[type[TritonError]]:
    for each in kind.__subclasses__():
        # Those of other modules may take other arguments.
        if each.__module__ == TritonError.__module__:
            yield each
            yield from _below(each)
