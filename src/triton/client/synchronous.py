"""Owns the client for threads: every call of the API, and following what happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeVar

import httpx

from triton.client import calls
from triton.client.calls import PREFIX, Repeats, Request
from triton.client.connection import settled
from triton.client.following import PATIENCE, Following, State, Tell
from triton.client.problems import retry_after, unfit, unreachable
from triton.client.streams import TIMEOUT, was_connected
from triton.client.subscription import Subscription
from triton.client.targets import From, Target, opening_of
from triton.client.views import Call, Document, Event, Job, Receipts, Submitted

T = TypeVar("T")
#: Bytes of a file that are read at once.
_CHUNK = 1024 * 1024
_PAGE = 200
_EVENTS = 1000


class Client:
    """One API. A context manager; may be shared by threads. Raises TritonErrors only.

    `url`: where the API is, without `/api/v1`. `api_key`, or `token`: a bearer token, or what makes one
    (after a 401 it is called with True, for a new one). `repeats`: how often a call is made again that got
    no answer or a 429, 502, 503 or 504, as long as that can do no harm; `Retry-After` is honoured.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | Callable[[bool], str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeats: int = 3,
        timeout: float = 30.0,
    ) -> None:
        """`timeout` is in seconds, for one answer. Raises ValidationError for a URL that is none."""
        found = settled(url, api_key, headers, timeout)
        self.url = found.url
        self._token = token
        self._repeats = repeats
        self._http = httpx.Client(**found.options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    # Jobs

    def submit(
        self,
        actor: str,
        *,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Submitted:
        """A job of an actor, by the names of docs/reference/routes.md. Without a queue it is the one that the
        actor's workers declared. `options` are the API's: delay_ms, run_at, ttl_ms, unique, priority, ...

        With an idempotency key the call may come twice, so it is repeated where no answer came. Raises
        ValidationError, NotUniqueError, QueueClosedError, IdempotencyError, UnavailableError.
        """
        call = Call(
            actor=actor,
            args=list(args),
            kwargs=dict(kwargs or {}),
            queue=queue,
            options=options,
            idempotency_key=idempotency_key,
        )
        return self._do(calls.submit(call))

    def submit_many(
        self,
        jobs: Iterable[Call | Mapping[str, Any]],
        *,
        mode: Literal["all", "partial"] = "all",
        idempotency_key: str | None = None,
    ) -> Receipts:
        """Up to 10,000 jobs in one call: a receipt for each, in order.

        In mode `all` one that does not fit is a ValidationError, and none is submitted.
        """
        return self._do(calls.submit_many(jobs, mode, idempotency_key))

    def job(self, job: str) -> Job:
        """A job as it is now. Raises NotFoundError."""
        return self._do(calls.job(job))

    def jobs(
        self,
        *,
        status: str | Iterable[str] = (),
        queue: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Jobs, newest first, page by page as they are asked for; `limit` at most. As far as the projector
        has come: a job of a moment ago may not be listed yet."""
        chosen = calls.chosen(status, queue, actor, tenant, submitted_after, submitted_before)
        following, left = None, limit
        while left is None or left > 0:
            page = self._do(calls.jobs(chosen, min(_PAGE, left or _PAGE), following))
            yield from page.jobs
            left = None if left is None else left - len(page.jobs)
            following = page.next
            if following is None:
                return

    def events(self, job: str, *, after_version: int = 0) -> Iterator[Event]:
        """A job's history so far behind a version (they count from 1), oldest first. Raises NotFoundError."""
        after: int | None = after_version
        while after is not None:
            page = self._do(calls.events(job, after, _EVENTS))
            yield from page.events
            after = page.next

    def cancel(self, job: str, reason: str) -> Job:
        """What waits ends at once; what runs is asked to stop. Raises ConflictError for what has ended."""
        return self._do(calls.cancel(job, reason))

    def requeue(self, job: str, reason: str) -> Job:
        """Send a failed or cancelled job round again. Raises ConflictError."""
        return self._do(calls.requeue(job, reason))

    def result(self, job: str) -> Any:
        """The result of a completed job, wherever it is kept. Raises ConflictError before that."""
        return self._do(calls.result(job))

    def upload(
        self,
        content: Path | bytes | Iterable[bytes],
        *,
        filename: str = "",
        media_type: str | None = None,
    ) -> Document:
        """Store a document: a file, which is streamed, or its bytes. What an iterator gives is sent once: a
        call that is refused for a moment (a rate, a token that is over) is not made again then.

        Raises OSError for a file that cannot be read, ValidationError for one that is too large.
        """
        if not isinstance(content, Path):
            return self._do(calls.upload(content, filename, media_type))
        with content.open("rb") as file:
            # A file that cannot be read is noticed before the request begins.
            file.read(1)
            pieces = partial(_pieces, file)
            return self._do(calls.upload(pieces, filename or content.name, media_type))

    # Following

    def subscribe(
        self,
        target: Target = None,
        *,
        from_: From = None,
        patience: float | None = PATIENCE,
        on_state: Callable[[State], object] | None = None,
        on_snapshot: Callable[[dict[str, Any]], object] | None = None,
        on_reset: Callable[[str], object] | None = None,
        on_break: Callable[[str], object] | None = None,
    ) -> Subscription:
        """The events of a job (its id), of several (their ids), of all that fit `Filters`, or of every job.

        `from_`: a cursor, "now" (the default), "earliest", or a time. `patience`: seconds for which a server
        that was there may be away, None for ever; a wrong address is told at once. For the callbacks see
        `Tell`.

        Iterating raises NotFoundError for a job that never was, CursorGoneError where events were lost and
        there is no `on_reset`, UnavailableError when patience is over.
        """
        tell = Tell(
            on_state=on_state, on_snapshot=on_snapshot, on_reset=on_reset, on_break=on_break
        )
        following = Following(self.url, opening_of(target, from_), tell, patience)
        return Subscription(following, self._stream)

    def wait_for(self, job: str, timeout: float | None = None) -> Job:
        """The job once it has ended, followed and not polled for. Raises TimeoutError after `timeout` s."""
        patience = PATIENCE if timeout is None else max(PATIENCE, timeout)
        ended = self.subscribe(job, patience=patience, on_reset=lambda _: None)
        timer = None if timeout is None else threading.Timer(timeout, ended.close)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            with ended:
                for _ in ended.messages():
                    pass
        finally:
            if timer is not None:
                timer.cancel()
        if not ended.over:
            raise TimeoutError(f"job {job} has not ended within {timeout} s")
        return self.job(job)

    # Routes without a method of their own

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of any route below `/api/v1`; parameters that are None are left out."""
        return self._do(calls.get(path, params))

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeats: int = 0,
        **params: Any,
    ) -> Any:
        """The same for POST. `repeats`: how often it is made again where no answer came, for what may come
        twice."""
        request: Request[Any] = calls.post(
            path, body, params=params, headers=headers, repeatable=repeats > 0
        )
        return self._do(request, repeats or None)

    def change(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The same for PATCH, PUT and DELETE; None where there is nothing to answer."""
        return self._do(calls.change(method, path, body, params))

    def _do(self, request: Request[T], repeats: int | None = None) -> T:
        again = Repeats(request, self._repeats if repeats is None else repeats)
        fresh = False
        while True:
            try:
                answer = self._http.request(
                    request.method,
                    PREFIX + request.path,
                    params=dict(request.params),
                    content=request.body(),
                    headers={**request.headers, **self._authorization(fresh=fresh)},
                )
            except httpx.InvalidURL as error:
                raise unfit(error) from error
            except httpx.RequestError as error:
                pause = again.after_silence(sent=was_connected(error))
                if pause is None:
                    raise unreachable(self.url, error) from error
            else:
                refused = answer.status_code == 401 and not request.once
                if refused and callable(self._token) and not fresh:
                    fresh = True
                    continue
                asked = retry_after(answer.headers.get("retry-after"), time.time())
                pause = again.after_answer(answer.status_code, asked)
                if pause is None:
                    return request.result(self.url, answer.status_code, answer.content)
            time.sleep(pause)

    def _stream(self, following: Following) -> AbstractContextManager[httpx.Response]:
        headers = following.headers()
        return self._http.stream(
            "GET",
            PREFIX + following.path,
            params=dict(following.params),
            headers={**headers, **self._authorization(fresh=following.fresh)},
            timeout=TIMEOUT,
        )

    def _authorization(self, *, fresh: bool) -> dict[str, str]:
        token = self._token(fresh) if callable(self._token) else self._token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_CHUNK):
        yield piece
