"""Owns what happens on a connection before there is a request: how large a head may be, how long it may take,
and that a refusal has the shape of every other error. uvicorn's httptools protocol has no such limits.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
import uuid_utils
from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from triton.api.problems import REQUEST_ID, STATUS, Problem
from triton.observe.logger import get_logger

#: Bytes of a request line and headers at most, as many servers and proxies have it.
MAX_HEAD: Final = 32 * 1024
#: Seconds from the first byte of a head (for a new connection, from its start) to its last.
HEAD_SECONDS: Final = 15.0
#: Seconds that a client may go on sending what was answered already.
REST_SECONDS: Final = 30.0

_NO_REQUEST: Final = ("malformed", "what was sent is no HTTP/1.1 request")
_TOO_LARGE: Final = f"the request line and headers have more than {MAX_HEAD} bytes"
_TOO_SLOW: Final = f"the request's head did not arrive within {HEAD_SECONDS:g} s"

_log: Final = get_logger("triton.api")


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose heads are bounded in bytes and in time, and so is what comes after an answer."""

    head_seconds = HEAD_SECONDS
    rest_seconds = REST_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._wrong = _NO_REQUEST
        self._head_timer: asyncio.TimerHandle | None = None
        self._rest_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._rest_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._head_timer is None:
            self._await_head()
        # A head is parsed only when it is whole: what came of it so far is counted here.
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse("headers_too_large", _TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._head_arrived()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD:
            self._wrong = ("headers_too_large", _TOO_LARGE)
            # What follows is not parsed any more: the parser ends with this exception.
            raise _HeadError
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._wrong = ("malformed", f"the request has {hosts} Host headers, and one is needed")
            raise _HeadError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._rest_arrived()
        self._in_head = True
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and self.cycle.response_complete and not self.transport.is_closing():
            self._rest_timer = self.loop.call_later(self.rest_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """uvicorn found no HTTP request in what came."""
        self._refuse(*self._wrong)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._late)

    def _head_arrived(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _rest_arrived(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def _late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse("slow_request", _TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, code: str, message: str) -> None:
        request_id = str(uuid_utils.uuid7())
        body = msgspec.json.encode(Problem(code=code, message=message, request_id=request_id))
        status = HTTPStatus(STATUS[code])
        _log.warning("request_refused", status=status.value, code=code, request_id=request_id)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{REQUEST_ID.lower()}: {request_id}\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


class _HeadError(HttpParserError):
    """The head is too large, or lacks something."""
