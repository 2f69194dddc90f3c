"""Owns the API as a process: uvicorn around the application, on one listener, and the drain.

The drain begins with the signal: uvicorn waits for connections to end before it runs the lifespan's
shutdown, and a stream never ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from triton.api.app import create_app, drain
from triton.api.listener import BACKLOG, inherited, listen, url_of
from triton.api.protocol import BoundedProtocol
from triton.api.services import FeedOptions, check
from triton.api.sse import taking_streams
from triton.collecting import collect_rarely
from triton.errors import StartupError, TritonError
from triton.identity.first_start import check_auth
from triton.observe.beginning import beating
from triton.observe.logger import get_logger
from triton.settings import Settings

_log: Final = get_logger("triton.api")
#: Seconds that requests and streams have to end after the signal.
GRACE: Final = 3
#: Between two looks for garbage in cycles: a few megabytes of it.
_OBJECTS: Final = 20_000


class Server(uvicorn.Server):
    """uvicorn that drains the feed at the signal, and says when it listens."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, on_ready: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self.app = app
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signing: asyncio.Future[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._signing = asyncio.ensure_future(beating())
        if self.started and self._on_ready is not None:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._signing is not None:
            self._signing.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The signal; also safe to call from another thread. Unlike uvicorn's own, it is not raised again
        at the end: `serve` returns."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(drain, self.app)


def make_server(
    settings: Settings,
    *,
    feed: FeedOptions | None = None,
    on_ready: Callable[[], None] | None = None,
) -> Server:
    """A server that is to be run with `server.run(sockets=[...])`."""
    app = create_app(settings, feed=feed)
    config = uvicorn.Config(
        taking_streams(app),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=BoundedProtocol,
        ws="none",
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
        backlog=BACKLOG,
    )
    return Server(config, app, on_ready)


def serve(settings: Settings, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; returns when every stream is closed, about GRACE seconds at most.

    `on_ready` is called with the URL once requests are answered. Raises StartupError (the port),
    ConfigurationError, UnavailableError, LogError (the engines).
    """
    check(settings)
    timeout_ms = settings.client_timeout_ms
    if settings.listen_fd >= 0:
        listener = inherited(settings.listen_fd, timeout_ms)
    else:
        listener = listen(settings.host, settings.port, timeout_ms)
    try:
        check_auth(settings.auth, listener.getsockname()[0])
    except BaseException:
        listener.close()
        raise
    url = url_of(listener)

    def ready() -> None:
        # What was imported and opened stays; requests may leave cycles, streams of events do not.
        collect_rarely(_OBJECTS)
        _log.info("listening", url=url)
        if on_ready is not None:
            on_ready(url)

    server = make_server(settings, on_ready=ready)
    uvicorn_log, quiet = logging.getLogger("uvicorn.error"), _KnownFailure(server)
    uvicorn_log.addFilter(quiet)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        raise failure_of(server) from None
    else:
        _log.info("stopped")
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
