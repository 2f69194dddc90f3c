"""Owns the requests of the API: what each call sends, and what its answer becomes. No I/O."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote

import msgspec

from triton.client.problems import LATER, not_ours, problem_of
from triton.client.views import (
    Call,
    Document,
    EventPage,
    Job,
    JobPage,
    Receipts,
    Submitted,
)

PREFIX: Final = "/api/v1"
T = TypeVar("T")
#: Bytes; pieces, which an iterator gives once; or what makes the pieces, as often as it is called.
Pieces: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]
Content: TypeAlias = bytes | Pieces | Callable[[], Pieces]
#: Seconds before each repetition of a call, where the server does not say how long.
_PAUSES: Final = (0.5, 2.0, 5.0)
#: Seconds that a call waits at most because the server asks it to.
_LONGEST: Final = 60.0


class Request(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One call. `repeatable`: that it came twice does no harm."""

    method: str
    path: str
    answer: Any
    params: Mapping[str, Any] = {}
    content: Any = None
    headers: Mapping[str, str] = {}
    repeatable: bool = True

    @property
    def once(self) -> bool:
        """Whether its content is gone once it was sent."""
        return hasattr(self.content, "__next__") or hasattr(self.content, "__anext__")

    def body(self) -> Any:
        """What is sent."""
        return self.content() if callable(self.content) else self.content

    def result(self, url: str, status: int, body: bytes) -> T:
        """What the answer says. Raises TritonErrors."""
        if status >= 400:
            raise problem_of(url, status, body)
        if status == 204:
            nothing: Any = None
            return cast("T", nothing)
        try:
            found: T = msgspec.json.decode(body, type=self.answer)
        except msgspec.MsgspecError as error:
            raise not_ours(url, f"{self.method} {self.path}: {error}") from error
        return found


class Repeats:
    """Whether a call is made again, and when: `times` at most."""

    def __init__(self, request: Request[Any], times: int) -> None:
        self._repeatable = request.repeatable
        self._once = request.once
        self._left = list(_PAUSES[-1:] * times)
        self._left[: len(_PAUSES)] = _PAUSES[: len(self._left)]

    def after_silence(self, *, sent: bool) -> float | None:
        """Seconds to wait after no answer came; None: not again. `sent`: the server may have had it."""
        if not self._left or (sent and (self._once or not self._repeatable)):
            return None
        return self._left.pop(0)

    def after_answer(self, status: int, asked: float | None) -> float | None:
        """The same after an answer; `asked` are the seconds of its Retry-After."""
        if self._once or status not in LATER or not self._left:
            return None
        # Only 429 says that nothing was done: a 503 can come after the engine had the call.
        if not (status == 429 or self._repeatable):
            return None
        if asked is not None and asked > _LONGEST:
            return None
        pause = self._left.pop(0)
        return pause if asked is None else asked


def get(path: str, params: Mapping[str, Any], answer: Any = Any) -> Request[Any]:
    """Any route; parameters that are None or empty are left out."""
    return Request(method="GET", path=path, params=_given(params), answer=answer)


def change(
    method: str, path: str, body: Any, params: Mapping[str, Any] | None = None
) -> Request[Any]:
    """PATCH, PUT or DELETE of any route, which says the same when it comes twice."""
    asked = post(path, body, params=params, repeatable=True)
    if body is None:
        asked = msgspec.structs.replace(asked, content=None, headers={})
    return msgspec.structs.replace(asked, method=method)


def post(
    path: str,
    body: Any,
    *,
    answer: Any = Any,
    content: Content | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    repeatable: bool = False,
) -> Request[Any]:
    """Any route, with a JSON `body` or `content`."""
    if content is None:
        content = msgspec.json.encode({} if body is None else body)
        headers = {"Content-Type": "application/json", **(headers or {})}
    return Request(
        method="POST",
        path=path,
        params=_given(params or {}),
        content=content,
        headers=headers or {},
        answer=answer,
        repeatable=repeatable,
    )


def submit(call: Call) -> Request[Submitted]:
    body = msgspec.structs.replace(call, idempotency_key=None)
    key = call.idempotency_key
    return post(
        "/jobs",
        body,
        answer=Submitted,
        headers=_key(key),
        repeatable=call.idempotency_key is not None,
    )


def submit_many(
    calls: Iterable[Call | Mapping[str, Any]], mode: str, key: str | None
) -> Request[Receipts]:
    body = {"mode": mode, "jobs": list(calls)}
    return post("/jobs/bulk", body, answer=Receipts, headers=_key(key), repeatable=key is not None)


def job(job: str) -> Request[Job]:
    return get(job_path(job), {}, Job)


def chosen(
    status: str | Iterable[str],
    queue: str | None,
    actor: str | None,
    tenant: str | None,
    after: datetime | None,
    before: datetime | None,
) -> dict[str, Any]:
    """Which jobs, as the API's parameters."""
    return {
        "status": [status] if isinstance(status, str) else list(status),
        "queue": queue,
        "actor": actor,
        "tenant": tenant,
        "submitted_after": after.isoformat() if after else None,
        "submitted_before": before.isoformat() if before else None,
    }


def jobs(which: Mapping[str, Any], limit: int, following: str | None) -> Request[JobPage]:
    return get("/jobs", {**which, "limit": limit, "next": following}, JobPage)


def events(job: str, after_version: int, limit: int) -> Request[EventPage]:
    return get(
        job_path(job, "/events"), {"after_version": after_version, "limit": limit}, EventPage
    )


def cancel(job: str, reason: str) -> Request[Job]:
    return post(job_path(job, "/cancel"), {"reason": reason}, answer=Job)


def requeue(job: str, reason: str) -> Request[Job]:
    return post(job_path(job, "/requeue"), {"reason": reason}, answer=Job)


def result(job: str) -> Request[Any]:
    return get(job_path(job, "/result"), {})


def upload(content: Content, filename: str, media_type: str | None) -> Request[Document]:
    kind = media_type or mimetypes.guess_type(filename)[0] or "application/octet-stream"
    headers = {"Content-Type": kind}
    params = {"filename": filename}
    return post(
        "/documents", None, content=content, params=params, headers=headers, answer=Document
    )


def job_path(job: str, rest: str = "") -> str:
    return f"/jobs/{quote(job, safe='')}{rest}"


def _key(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple | frozenset | set) else value
        for name, value in params.items()
        if value is not None and value not in ((), [], frozenset())
    }
