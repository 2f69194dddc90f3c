"""Owns the HTTP requests of the commands: JSON in and out, and every problem as one of our errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from triton.errors import (
    ConflictError,
    NotFoundError,
    TritonError,
    UnavailableError,
    ValidationError,
)

PREFIX: Final = "/api/v1"
#: Seconds: to connect, and to wait for an answer.
TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
#: Seconds before each repetition of a call.
_PAUSES: Final = (0.5, 2.0, 5.0)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_ERRORS: Final[Mapping[str, type[TritonError]]] = {
    "not_found": NotFoundError,
    "conflict": ConflictError,
    "validation": ValidationError,
    "malformed": ValidationError,
    "too_large": ValidationError,
    "unavailable": UnavailableError,
}


class _Problem(msgspec.Struct):
    code: str
    message: str
    details: dict[str, Any] = {}


class Api:
    """One API. A context manager; raises TritonErrors only."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._client = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=not local(url))
        except httpx.InvalidURL as error:
            raise ValidationError(f"{url!r} is no URL of an API: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON answer; parameters that are None are left out."""
        return self._json("GET", path, params=_given(params))

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Any:
        """The same for POST with a JSON `body`, or `content`: bytes or an iterator of them."""
        if content is None:
            content = msgspec.json.encode({} if body is None else body)
        return self._json("POST", path, params=_given(params), content=content, headers=headers)

    def insist(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The same for a POST that may be repeated: it is, a few times, while it is not answered."""
        for pause in _PAUSES:
            try:
                return self.post(path, body, headers=headers)
            except UnavailableError:
                time.sleep(pause)
        return self.post(path, body, headers=headers)

    def _json(self, method: str, path: str, **request: Any) -> Any:
        try:
            response = self._client.request(method, PREFIX + path, **request)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise unreachable(self.url, error) from error
        if response.status_code >= 400:
            raise problem_of(self.url, response.status_code, response.content)
        return decoded(self.url, response.content)


def job_path(job: str, rest: str = "") -> str:
    return f"/jobs/{quote(job, safe='')}{rest}"


def local(url: str) -> bool:
    """Whether the URL stays on this machine: then no proxy of the environment is asked."""
    return urlsplit(url).hostname in _LOOPBACK


def unreachable(url: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"The API at {url} does not answer ({str(error) or type(error).__name__}): start it with "
        "`triton up`, or name another with --data or --url."
    )


def problem_of(url: str, status: int, body: bytes) -> TritonError:
    """The error that an answer with a status from 400 on tells of."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        return UnavailableError(
            f"What answers at {url} is not Triton's API (status {status} without a problem): name the "
            "right one with --data or --url."
        )
    return _ERRORS.get(problem.code, TritonError)(problem.message, **problem.details)


def decoded(url: str, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UnavailableError(
            f"What answers at {url} is not Triton's API (no JSON): name the right one with --url."
        ) from error


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, ())}
