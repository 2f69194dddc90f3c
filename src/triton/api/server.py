"""Owns the API as a process: the listener and its options, uvicorn around the application, the drain.

The drain begins with the signal: uvicorn waits for connections to end before it runs the lifespan's
shutdown, and a stream never ends by itself.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from triton.api.app import create_app, drain
from triton.api.services import FeedOptions, check
from triton.errors import StartupError, TritonError
from triton.settings import Settings

#: Bytes that the kernel takes for a client that does not read; inherited by every accepted connection.
SEND_BUFFER: Final = 128 * 1024
#: Milliseconds after which a connection whose peer acknowledges nothing is cut.
USER_TIMEOUT_MS: Final = 20_000
#: Seconds that requests and streams have to end after the signal.
GRACE: Final = 3
_BACKLOG: Final = 2048


class Server(uvicorn.Server):
    """uvicorn that drains the feed at the signal, and says when it listens."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, on_ready: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self.app = app
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started and self._on_ready is not None:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The signal; also safe to call from another thread. Unlike uvicorn's own, it is not raised again
        at the end: `serve` returns."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(drain, self.app)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises StartupError with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        raise StartupError(_sentence(host, port, error), host=host, port=port) from error
    return listener


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program: stop it, or choose another port "
            "with --port or TRITON_PORT"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} on {host} may not be opened by this user: choose one above 1023 with "
            "--port or TRITON_PORT"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"the API cannot listen on {host}:{port}: {reason}; set TRITON_HOST and TRITON_PORT"


def make_server(
    settings: Settings,
    *,
    feed: FeedOptions | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Server:
    """A server that is to be run with `server.run(sockets=[...])`."""
    app = create_app(settings, feed=feed)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
        backlog=_BACKLOG,
    )
    return Server(config, app, on_ready)


def serve(settings: Settings, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; returns when every stream is closed, about GRACE seconds at most.

    `on_ready` is called with the URL once requests are answered. Raises StartupError (the port),
    ConfigurationError, UnavailableError, LogError (the engines).
    """
    check(settings)
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    server = make_server(settings, on_ready=(lambda: on_ready(url)) if on_ready else None)
    uvicorn_log, quiet = logging.getLogger("uvicorn.error"), _KnownFailure(server)
    uvicorn_log.addFilter(quiet)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        raise failure_of(server) from None
    finally:
        uvicorn_log.removeFilter(quiet)
        listener.close()


class _KnownFailure(logging.Filter):
    """Keeps uvicorn from printing the traceback of a start that failed with a sentence of its own."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not isinstance(self._server.app.state.failure, TritonError)


def failure_of(server: Server) -> TritonError:
    """Why the application did not start."""
    failure = server.app.state.failure
    if isinstance(failure, TritonError):
        return failure
    return StartupError("the API did not start; the log above says why")
