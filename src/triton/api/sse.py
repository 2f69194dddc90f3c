"""Owns the HTTP response that carries a stream: ready bytes in, one ASGI message per piece out.

Why not sse-starlette's EventSourceResponse, which the project also depends on: measured on one core, it
delivers about half of what a plain response over ready bytes does (30,000 against 56,000 a second with a
ring), holds four tasks and a lock per stream, ends its pings and frames with CRLF and a blank line (which
some clients take for an empty event), and learns of a shutdown by looking at uvicorn's signal handler each
half second, which fails in a thread. Here the hub closes streams at the signal (see `triton.api.server`),
heartbeats come from the stream itself, and one task per stream watches for the client's leaving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from triton.api.access_log import StreamLog, stream_log
from triton.feed.contract import Stream, Write

MEDIA_TYPE: Final = "text/event-stream; charset=utf-8"
HEADERS: Final = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}
#: In a request's scope: where a stream puts itself once its headers are sent.
_TAKEN: Final = "triton.streams"


def complete(body: bytes) -> Response:
    """A whole stream that is over already: what a browser gets instead of an error status."""
    return Response(body, media_type=MEDIA_TYPE, headers=HEADERS)


class EventStream(Response):
    """Sends a stream until it ends, the client leaves, or a write takes too long."""

    def __init__(
        self,
        stream: Stream,
        headers: Mapping[str, str],
        *,
        at_end: Callable[[], None],
        timeout: float,
    ) -> None:
        """`timeout`: seconds that one write may wait for a client that does not read."""
        super().__init__(media_type=MEDIA_TYPE, headers={**HEADERS, **headers})
        del self.headers["content-length"]
        self._stream = stream
        self._at_end = at_end
        self._timeout = timeout
        self._log: StreamLog | None = None

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Sends it all; where the server's side of the application takes streams (`taking_streams`), only the
        headers, and leaves it the rest."""
        headers = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            await send(headers)
        except BaseException:
            self.close()
            raise
        self._log = stream_log(scope)
        if (taken := scope.get(_TAKEN)) is not None:
            taken.append(self)
        else:
            await self.run(receive, send)

    def write_by(self, write: Write | None) -> None:
        """How the stream may send while it waits."""
        self._stream.write = write

    def close(self) -> None:
        """It is over, or nobody runs it."""
        self._at_end()
        self._stream.close()
        if self._log is not None:
            self._log.end()

    async def run(self, receive: Receive, send: Send) -> None:
        """What follows the headers. Raises TimeoutError where the client does not read."""
        try:
            leaving = asyncio.create_task(self._watch(receive))
            try:
                await self._send(send)
            finally:
                leaving.cancel()
        finally:
            self.close()

    async def _send(self, send: Send) -> None:
        pieces = self._stream.pieces()
        async for piece in pieces:
            async with asyncio.timeout(self._timeout):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        """Ends the stream when the client left; uvicorn takes what is sent after that and drops it."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.close()


def taking_streams(app: ASGIApp) -> ASGIApp:
    """The application, which leaves its streams to this side of all its layers.

    A stream is held up to ten minutes, and a dozen layers around it cost more memory than itself. They have
    nothing to do with what follows the headers.
    """

    newest = _Chunk()

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        taken: list[EventStream] = []
        try:
            await app({**scope, _TAKEN: taken}, receive, send)
        except BaseException:
            for stream in taken:
                stream.close()
            raise
        if taken:
            stream = taken.pop()
            connection = getattr(send, "__self__", None)
            if not isinstance(connection, RequestResponseCycle):
                await stream.run(receive, send)
                return
            stream.write_by(_at_once(connection, newest))
            try:
                await stream.run(receive, send)
            except TimeoutError:
                # A close would wait until the client has taken what is left for it.
                if not connection.disconnected:
                    connection.message_event.clear()
                    connection.transport.abort()
                    await connection.message_event.wait()

    return called


class _Chunk:
    """The newest piece as a chunk of HTTP/1.1: many connections are sent the same, one after the other."""

    __slots__ = ("framed", "piece")

    def __init__(self) -> None:
        self.piece = self.framed = b""

    def of(self, piece: bytes) -> bytes:
        self.piece = piece
        self.framed = b"%x\r\n%b\r\n" % (len(piece), piece)
        return self.framed


def _at_once(connection: RequestResponseCycle, newest: _Chunk) -> Write | None:
    """Sends without waking a task or passing uvicorn's checks of each message, which both cost more than the
    sending (docs/benchmarks.md). None where it does not send chunks."""
    if not connection.chunked_encoding:
        return None
    flow, put = connection.flow, connection.transport.write

    def write(piece: bytes) -> bool:
        if flow.write_paused:
            return False
        # What is sent after the client left is dropped; the stream is closed for it.
        if not connection.disconnected:
            put(newest.framed if piece is newest.piece else newest.of(piece))
        return True

    return write
