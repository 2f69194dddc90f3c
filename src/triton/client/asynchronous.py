"""Owns the client for asyncio: every call of the API, and following what happens."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self, TypeVar
from weakref import WeakSet

import httpx

from triton.client import calls
from triton.client.async_subscription import AsyncSubscription
from triton.client.calls import PREFIX, Repeats, Request
from triton.client.connection import settled
from triton.client.following import PATIENCE, Following, State, Tell
from triton.client.problems import retry_after, unfit, unreachable
from triton.client.streams import TIMEOUT, was_connected
from triton.client.targets import From, Target, opening_of
from triton.client.views import Call, Document, Event, Job, Receipts, Submitted

T = TypeVar("T")
#: Bytes of a file that are read at once.
_CHUNK = 1024 * 1024
_PAGE = 200
_EVENTS = 1000


class AsyncClient:
    """One API. An async context manager; of one event loop. As `Client`; `token` may be asynchronous too."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | Callable[[bool], str | Awaitable[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        repeats: int = 3,
        timeout: float = 30.0,
    ) -> None:
        found = settled(url, api_key, headers, timeout)
        self.url = found.url
        self._token = token
        self._repeats = repeats
        self._http = httpx.AsyncClient(**found.options)
        # A loop that was left early is still open: Python would end its parts in any order.
        self._followed: WeakSet[AsyncSubscription] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends what is followed, too."""
        for following in list(self._followed):
            await following.leave()
        await self._http.aclose()

    # Jobs

    async def submit(
        self,
        actor: str,
        *,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Submitted:
        """As `Client.submit`."""
        call = Call(
            actor=actor,
            args=list(args),
            kwargs=dict(kwargs or {}),
            queue=queue,
            options=options,
            idempotency_key=idempotency_key,
        )
        return await self._do(calls.submit(call))

    async def submit_many(
        self,
        jobs: Iterable[Call | Mapping[str, Any]],
        *,
        mode: Literal["all", "partial"] = "all",
        idempotency_key: str | None = None,
    ) -> Receipts:
        """As `Client.submit_many`."""
        return await self._do(calls.submit_many(jobs, mode, idempotency_key))

    async def job(self, job: str) -> Job:
        """As `Client.job`."""
        return await self._do(calls.job(job))

    async def jobs(
        self,
        *,
        status: str | Iterable[str] = (),
        queue: str | None = None,
        actor: str | None = None,
        tenant: str | None = None,
        submitted_after: datetime | None = None,
        submitted_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Job]:
        """As `Client.jobs`, for `async for`."""
        chosen = calls.chosen(status, queue, actor, tenant, submitted_after, submitted_before)
        following, left = None, limit
        while left is None or left > 0:
            page = await self._do(calls.jobs(chosen, min(_PAGE, left or _PAGE), following))
            for job in page.jobs:
                yield job
            left = None if left is None else left - len(page.jobs)
            following = page.next
            if following is None:
                return

    async def events(self, job: str, *, after_version: int = 0) -> AsyncIterator[Event]:
        """As `Client.events`, for `async for`."""
        after: int | None = after_version
        while after is not None:
            page = await self._do(calls.events(job, after, _EVENTS))
            for event in page.events:
                yield event
            after = page.next

    async def cancel(self, job: str, reason: str) -> Job:
        """As `Client.cancel`."""
        return await self._do(calls.cancel(job, reason))

    async def requeue(self, job: str, reason: str) -> Job:
        """As `Client.requeue`."""
        return await self._do(calls.requeue(job, reason))

    async def result(self, job: str) -> Any:
        """As `Client.result`."""
        return await self._do(calls.result(job))

    async def upload(
        self,
        content: Path | bytes | AsyncIterable[bytes],
        *,
        filename: str = "",
        media_type: str | None = None,
    ) -> Document:
        """As `Client.upload`; the file is read in another thread."""
        if not isinstance(content, Path):
            return await self._do(calls.upload(content, filename, media_type))
        with await asyncio.to_thread(content.open, "rb") as file:
            await asyncio.to_thread(file.read, 1)
            pieces = partial(_pieces, file)
            return await self._do(calls.upload(pieces, filename or content.name, media_type))

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
    ) -> AsyncSubscription:
        """As `Client.subscribe`, for `async for`."""
        tell = Tell(
            on_state=on_state, on_snapshot=on_snapshot, on_reset=on_reset, on_break=on_break
        )
        following = Following(self.url, opening_of(target, from_), tell, patience)
        subscription = AsyncSubscription(following, self._stream)
        self._followed.add(subscription)
        return subscription

    async def wait_for(self, job: str, timeout: float | None = None) -> Job:  # noqa: ASYNC109
        """The job once it has ended, followed and not polled for. Raises TimeoutError after `timeout` s."""
        patience = PATIENCE if timeout is None else max(PATIENCE, timeout)
        try:
            async with (
                asyncio.timeout(timeout),
                self.subscribe(job, patience=patience, on_reset=lambda _: None) as ended,
            ):
                async for _ in ended.messages():
                    pass
        except TimeoutError:
            raise TimeoutError(f"job {job} has not ended within {timeout} s") from None
        return await self.job(job)

    # Routes without a method of their own

    async def get(self, path: str, **params: Any) -> Any:
        """As `Client.get`."""
        return await self._do(calls.get(path, params))

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeats: int = 0,
        **params: Any,
    ) -> Any:
        """As `Client.post`."""
        request: Request[Any] = calls.post(
            path, body, params=params, headers=headers, repeatable=repeats > 0
        )
        return await self._do(request, repeats or None)

    async def change(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The same for PATCH, PUT and DELETE; None where there is nothing to answer."""
        return await self._do(calls.change(method, path, body, params))

    async def _do(self, request: Request[T], repeats: int | None = None) -> T:
        again = Repeats(request, self._repeats if repeats is None else repeats)
        fresh = False
        while True:
            try:
                answer = await self._http.request(
                    request.method,
                    PREFIX + request.path,
                    params=dict(request.params),
                    content=request.body(),
                    headers={**request.headers, **await self._authorization(fresh=fresh)},
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
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _stream(self, following: Following) -> AsyncIterator[httpx.Response]:
        headers = following.headers()
        async with self._http.stream(
            "GET",
            PREFIX + following.path,
            params=dict(following.params),
            headers={**headers, **await self._authorization(fresh=following.fresh)},
            timeout=TIMEOUT,
        ) as answer:
            yield answer

    async def _authorization(self, *, fresh: bool) -> dict[str, str]:
        found = self._token(fresh) if callable(self._token) else self._token
        token = await found if inspect.isawaitable(found) else found
        return {"Authorization": f"Bearer {token}"} if token else {}


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while piece := await asyncio.to_thread(file.read, _CHUNK):
        yield piece
