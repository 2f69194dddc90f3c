"""Owns following a stream of Server-Sent Events: the format by the standard, and going on after a break.

The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html. Exactly the events
after the last one that was seen follow a break, because the server resumes by `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import httpx

from triton.cli.client import problem_of, unreachable
from triton.errors import UnavailableError

#: What the server says of the stream itself.
HELLO: Final = "triton.hello"
SNAPSHOT: Final = "triton.snapshot"
RESET: Final = "triton.reset"
CAUGHT_UP: Final = "triton.caught-up"
END: Final = "triton.end"
BYE: Final = "triton.bye"
#: The name of events without one: those of the log.
UNNAMED: Final = "message"

#: Milliseconds before the next connection, until the server says how long.
RETRY_MS: Final = 1000
#: Milliseconds between two connections at most.
_RETRY_MAX_MS: Final = 5000
#: Seconds without one byte after which a connection counts as dead: three heartbeats.
SILENCE: Final = 45.0
#: Seconds for which a server that was there before may be away.
PATIENCE: Final = 120.0
#: Silence on a socket is watched here, not by a total time.
TIMEOUT: Final = httpx.Timeout(connect=5.0, read=SILENCE, write=5.0, pool=None)

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"

#: What the server says of the end of a stream, in words.
_FAREWELLS: Final = {
    "draining": "the server is being stopped",
    "overloaded": "the server has too many streams",
    "unavailable": "the server cannot reach its log",
    "log": "the server cannot read its log",
}


class Message(NamedTuple):
    """One dispatched event. `id` is the cursor of who has seen it."""

    event: str
    data: str
    id: str


class Parser:
    """Bytes of one connection in, events out. `last_id` is where a reader is that took all of them."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        #: What the server said last of how long to wait before the next connection.
        self.retry_ms: int | None = None
        self._id = last_id
        self._event = ""
        self._data: list[str] = []
        self._rest = b""
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[Message]:
        """The events that these bytes complete."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        text = self._rest + chunk
        *lines, self._rest = _LINE_END.split(text)
        # A LF that follows in the next chunk belongs to this CR.
        self._after_cr = text.endswith(b"\r")
        messages = []
        for line in lines:
            if self._first:
                line = line.removeprefix(_BOM)
                self._first = False
            if not line:
                message = self._dispatch()
                if message is not None:
                    messages.append(message)
            elif not line.startswith(b":"):
                self._field(line.decode(errors="replace"))
        return messages

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        event, data = self._event, self._data
        self._event, self._data = "", []
        if not data:
            return None
        return Message(event or UNNAMED, "\n".join(data), self.last_id)


async def follow(
    client: httpx.AsyncClient,
    url: str,
    *,
    last_event_id: str = "",
    patience: float = PATIENCE,
    on_break: Callable[[str], None] | None = None,
) -> AsyncGenerator[Message, None]:
    """The events after `last_event_id`, over as many connections as it takes.

    Ends after `triton.end`, and where the server says that nothing follows (204). `on_break` is told why
    a connection was lost, but not of those that the server ends in turn. Close it
    (`aclosing`) when you leave early.

    Raises UnavailableError when the server cannot be reached at first, or for `patience` seconds later;
    what the server refuses is raised as it says (NotFoundError for a job that never was).
    """
    last_id, retry_ms, failures = last_event_id, RETRY_MS, 0
    heard: float | None = None
    while True:
        reason: str | None = "the server closed the stream"
        parser = Parser(last_id)
        try:
            async with client.stream(
                "GET", url, headers=_headers(last_id), timeout=TIMEOUT
            ) as answer:
                if answer.status_code == 204:
                    return
                await _check(url, answer)
                heard, failures = time.monotonic(), 0
                async for chunk in answer.aiter_bytes():
                    heard = time.monotonic()
                    for message in parser.feed(chunk):
                        if message.event == BYE:
                            reason = _farewell(message.data)
                        yield message
                        if message.event == END:
                            return
                    last_id = parser.last_id
        except (httpx.TransportError, UnavailableError) as error:
            away = error if isinstance(error, UnavailableError) else unreachable(url, error)
            if heard is None or time.monotonic() - heard > patience:
                raise away from error
            reason = str(error) or type(error).__name__
            failures += 1
        retry_ms = parser.retry_ms or retry_ms
        if on_break is not None and reason is not None:
            on_break(reason)
        await asyncio.sleep(min(retry_ms * 2 ** max(0, failures - 1), _RETRY_MAX_MS) / 1000)


async def beginning(client: httpx.AsyncClient, url: str) -> str:
    """The cursor from which a job's whole history follows: the one that `triton.hello` carries."""
    async with aclosing(follow(client, url)) as stream:
        async for message in stream:
            return message.id
    return ""


def _farewell(data: str) -> str | None:
    """Why the server closes the stream; None where it is only this connection's turn."""
    try:
        said = json.loads(data).get("reason", "")
    except (ValueError, AttributeError):
        said = ""
    return None if said == "rotate" else _FAREWELLS.get(said, "the server closed the stream")


def _headers(last_id: str) -> dict[str, str]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    return headers | {"Last-Event-ID": last_id} if last_id else headers


async def _check(url: str, answer: httpx.Response) -> None:
    if answer.status_code >= 400:
        raise problem_of(url, answer.status_code, await answer.aread())
    kind = answer.headers.get("content-type", "")
    if answer.status_code != 200 or not kind.startswith("text/event-stream"):
        raise UnavailableError(
            f"{url} answered {answer.status_code} {kind or 'without a type'}, expected an event stream: "
            "is this Triton's API?"
        )
