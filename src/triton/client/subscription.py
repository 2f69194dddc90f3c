"""Owns following a target from a thread: an iterator of events over as many connections as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

import httpx
import msgspec

from triton.client.following import Following, State
from triton.client.problems import unfit
from triton.client.sse import UNNAMED, Message
from triton.client.streams import cut_off, headers_of, is_stream, was_connected
from triton.client.views import Event

#: Opens a connection for a follower; made by `Client`.
Open = Callable[[Following], AbstractContextManager[httpx.Response]]


class Subscription:
    """The events that follow, in order, each once; made by `Client.subscribe`.

    Iterate over it: it comes back by itself after cuts and restarts, and ends when the job has (or each of
    those that were named). `cursor` is where to go on after the event that was handed out last: keep it when
    you have handled that event, and give it as `from_` to a later subscription.
    """

    def __init__(self, following: Following, opened: Open) -> None:
        self._following = following
        self._open = opened
        self._answer: httpx.Response | None = None
        self._closed = threading.Event()
        self._wake = threading.Event()
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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        for message in self._messages:
            if message.event == UNNAMED:
                return msgspec.json.decode(message.data, type=Event)
        raise StopIteration

    def messages(self) -> Iterator[Message]:
        """The same with what the server says of the stream itself, as it came: docs/reference/sse.md."""
        return self._messages

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        # A generator that another thread runs ends by itself.
        with suppress(ValueError):
            self._messages.close()

    def close(self) -> None:
        """End the iteration, also from another thread; safe to call again."""
        self._closed.set()
        self._wake.set()
        self.cut()

    def cut(self) -> None:
        """End the connection as a network would: it comes back by itself. For trying just that."""
        if self._answer is not None:
            cut_off(self._answer)

    def retry_now(self) -> None:
        """End the wait between two connections."""
        self._wake.set()

    def _run(self) -> Generator[Message, None, None]:
        following = self._following
        try:
            while not self._closed.is_set():
                yield from self._connection()
                if following.over or self._closed.is_set():
                    return
                self._wake.wait(following.pause())
                self._wake.clear()
        finally:
            following.close()

    def _connection(self) -> Generator[Message, None, None]:
        following = self._following
        try:
            with self._open(following) as answer:
                if not is_stream(answer):
                    body = answer.read()
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
                for chunk in answer.iter_bytes():
                    yield from following.read(chunk, time.monotonic())
                    if following.over or following.again or self._closed.is_set():
                        return
        except httpx.InvalidURL as error:
            raise following.failed(unfit(error)) from error
        except httpx.RequestError as error:
            if not self._closed.is_set():
                following.broke(error, now=time.monotonic(), connected=was_connected(error))
        finally:
            self._answer = None
