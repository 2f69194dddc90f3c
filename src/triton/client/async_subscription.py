"""Owns following a target from asyncio: an async iterator of events over as many connections as it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from types import TracebackType
from typing import Self, cast

import httpx
import msgspec

from triton.client.following import Following, State
from triton.client.problems import unfit
from triton.client.sse import UNNAMED, Message
from triton.client.streams import cut_off, headers_of, is_stream, was_connected
from triton.client.views import Event

#: Opens a connection for a follower; made by `AsyncClient`.
Open = Callable[[Following], AbstractAsyncContextManager[httpx.Response]]


class AsyncSubscription:
    """The events that follow, in order, each once; made by `AsyncClient.subscribe`.

    As `Subscription`, for `async for`. Use it as a context (`async with`) where you may leave early.
    """

    def __init__(self, following: Following, opened: Open) -> None:
        self._following = following
        self._open = opened
        self._answer: httpx.Response | None = None
        self._closed = False
        self._wake = asyncio.Event()
        self._messages = self._run()

    @property
    def state(self) -> State:
        """How the connection stands: see `State`."""
        return self._following.state

    @property
    def cursor(self) -> str:
        """Empty until the server's first frame came."""
        return self._following.cursor

    @property
    def over(self) -> bool:
        """Whether everything was told that ever will be."""
        return self._following.over

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        async for message in self._messages:
            if message.event == UNNAMED:
                return msgspec.json.decode(message.data, type=Event)
        raise StopAsyncIteration

    def messages(self) -> AsyncGenerator[Message, None]:
        """The same with what the server says of the stream itself, as it came: docs/reference/sse.md."""
        return self._messages

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """End it, and wait until its connection is closed."""
        self.close()
        # A generator that another task runs ends by itself.
        with suppress(RuntimeError):
            await self._messages.aclose()

    def close(self) -> None:
        """End the iteration, also from another task of the same loop; safe to call again."""
        self._closed = True
        self._wake.set()
        self.cut()

    def cut(self) -> None:
        """End the connection as a network would: it comes back by itself. For trying just that."""
        if self._answer is not None:
            cut_off(self._answer)

    def retry_now(self) -> None:
        """End the wait between two connections."""
        self._wake.set()

    async def _run(self) -> AsyncGenerator[Message, None]:
        following = self._following
        try:
            while not self._closed:
                # Who leaves early ends all of it in one go: what is left open is closed by nobody in order.
                async with aclosing(self._connection()) as messages:
                    async for message in messages:
                        yield message
                if following.over or self._closed:
                    return
                await self._rest(following.pause())
        finally:
            following.close()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _connection(self) -> AsyncGenerator[Message, None]:
        following = self._following
        try:
            async with self._open(following) as answer:
                if not is_stream(answer):
                    body = await answer.aread()
                    following.refused(
                        answer.status_code,
                        headers_of(answer),
                        body,
                        now=time.monotonic(),
                        clock=time.time(),
                    )
                    return
                self._answer = answer
                following.opened(time.monotonic())
                # httpx says AsyncIterator, and makes a generator.
                pieces = cast("AsyncGenerator[bytes, None]", answer.aiter_bytes())
                async with aclosing(pieces) as chunks:
                    async for chunk in chunks:
                        for message in following.read(chunk, time.monotonic()):
                            yield message
                        if following.over or following.again or self._closed:
                            return
        except httpx.InvalidURL as error:
            raise following.failed(unfit(error)) from error
        except httpx.RequestError as error:
            if not self._closed:
                following.broke(error, now=time.monotonic(), connected=was_connected(error))
        finally:
            self._answer = None
