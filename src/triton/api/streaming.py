"""Owns what every route that opens a stream does around it: count it first, give its place back at the end.

A stream is counted before anything is looked up and before the 200. Who has too many is told so by a 429.
Who comes back with a cursor gets a 200 that says `limited` and when to come again instead: to a browser's
EventSource any other status is the end, and the streams that it is said to have open are often the very one
that broke, which the server has not noticed yet.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal

from fastapi import Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.problems import Problem
from triton.api.services import Services
from triton.api.sse import EventStream, complete
from triton.errors import TooManyStreamsError
from triton.feed import frames
from triton.feed.admission import Full, Place
from triton.feed.contract import Refused, Stream
from triton.feed.gzipped import GzipStream, wants_gzip
from triton.identity.principal import ANYBODY, Principal

#: Seconds after which who has too many streams may ask again.
RETRY_AFTER: Final = 5
#: Seconds that no connection lives: it is rotated before.
_LONGEST: Final = 24 * 3600.0
#: The answer of a route that opens streams to who has too many.
REFUSAL: Final[dict[int | str, dict[str, Any]]] = {
    429: openapi.answer(
        Problem, "Too many open streams of this user, address or tenant: see `Retry-After`."
    )
}
_HAS: Final = {
    "user": "this user or token has",
    "address": "this address has",
    "tenant": "this tenant has",
}


async def answer(
    request: Request,
    services: Services,
    who: Principal,
    open_stream: Callable[[], Awaitable[Stream | Refused | Literal["ended"]]],
    *,
    cursor: str | None = None,
) -> Response:
    """The stream that `open_stream` opens, or why there is none, as a browser survives it.

    Raises TooManyStreamsError.
    """
    await services.limits.of(who.tenant)
    place = _enter(request, services, who)
    if isinstance(place, Full):
        services.hub.refused["limited"] += 1
        if cursor is None:
            raise _error(place)
        return complete(frames.bye("limited", services.feed.timing.retry_ms()))
    opened: Stream | Refused | Literal["ended"] | None = None
    try:
        opened = await open_stream()
        if opened == "ended":
            return Response(status_code=204, headers={"Cache-Control": "no-store"})
        if isinstance(opened, Refused):
            services.hub.refused[opened.reason] += 1
            return complete(opened.body)
        return _response(request, services, opened, _at_end(services, opened, place, who))
    finally:
        if opened is None or opened == "ended" or isinstance(opened, Refused):
            place.leave()


def _at_end(services: Services, stream: Stream, place: Place, who: Principal) -> Callable[[], None]:
    """What to do when a stream is over. It is closed when what let its client in expires or is taken back."""
    seconds = seconds_left(who)
    timer = None
    if seconds < _LONGEST:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(seconds, 0), stream.close_for, "expired")
    stop = services.standing.watch(who, partial(stream.close_for, "expired"))

    def leave() -> None:
        if timer is not None:
            timer.cancel()
        stop()
        place.leave()

    return leave


def seconds_left(who: Principal) -> float:
    """Until what let somebody in expires."""
    return math.inf if who.expires_at_ms is None else who.expires_at_ms / 1000 - time.time()


def _response(
    request: Request, services: Services, stream: Stream, at_end: Callable[[], None]
) -> Response:
    """The stream, compressed where that is switched on and the client takes it."""
    headers = {"Vary": "Accept-Encoding"} if services.settings.gzip_streams else {}
    if headers and wants_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        stream = GzipStream(stream, services.blocks)
    timeout = services.settings.client_timeout_ms / 1000
    return EventStream(stream, headers, at_end=at_end, timeout=timeout)


@contextmanager
def counted(request: Request, services: Services, who: Principal) -> Iterator[None]:
    """Around a long poll, which is counted like a stream. Raises TooManyStreamsError."""
    place = _enter(request, services, who)
    if isinstance(place, Full):
        raise _error(place)
    try:
        if services.hub.refusal() == "overloaded":
            raise TooManyStreamsError("this process has as many open streams as it may: try again")
        yield
    finally:
        place.leave()


def _enter(request: Request, services: Services, who: Principal) -> Place | Full:
    found = services.admission.enter(
        address=request.client.host if request.client else "",
        # Nobody in particular has no limit of its own.
        user="" if who.by == ANYBODY.by else who.by,
        tenant=who.tenant,
        quota=services.limits.known(who.tenant).max_streams,
    )
    if isinstance(found, Full) and found.kind == "tenant":
        services.gate.count(who.tenant, "max_streams")
    return found


def _error(full: Full) -> TooManyStreamsError:
    return TooManyStreamsError(
        f"{_HAS[full.kind]} {full.limit} open streams, which is the most: close one, or follow several "
        "jobs on one connection (/api/v1/events/subscribe with several job_id)",
        limit=full.limit,
        of=full.kind,
        retry_after=RETRY_AFTER,
    )
