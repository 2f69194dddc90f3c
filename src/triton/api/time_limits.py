"""Owns how long a request may take until it is answered, and how slowly its body may come."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.problems import respond
from triton.observe.logger import get_logger

#: Bytes a second that a body has to come with, and seconds that it may fall behind that.
BODY_RATE: Final = 500
BODY_BEHIND: Final = 20.0
_KEY: Final = "triton.deadline"
_log = get_logger("triton.api")


class Pace:
    """How much longer a body may be waited for, in seconds: each byte gives some of them back, up to
    `behind`, so that neither a pause nor a drip holds a connection. Only time in which it was waited for
    counts."""

    def __init__(self, rate: float, behind: float) -> None:
        self.left = behind
        self._rate = rate
        self._behind = behind

    def came(self, size: int, seconds: float) -> None:
        """So many bytes, after a wait."""
        self.left = min(self._behind, self.left - seconds + size / self._rate)


class TimeLimitMiddleware:
    """Ends a request whose answer has not begun in time. The time begins anew with each piece of its body,
    and ends with the first byte of the answer: streams are as long as they are."""

    def __init__(self, app: ASGIApp, seconds: float, behind: float = BODY_BEHIND) -> None:
        self._app = app
        self._seconds = seconds
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        started = reading = False
        pace = Pace(BODY_RATE, self._behind)

        async def send_in_time(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                deadline.reschedule(None)
            await send(message)

        async def receive_in_time() -> Message:
            nonlocal reading
            if started or deadline.when() is None:
                return await receive()
            begun = loop.time()
            deadline.reschedule(begun + pace.left)
            reading = True
            message = await receive()
            reading = False
            pace.came(len(message.get("body", b"")), loop.time() - begun)
            if not started and deadline.when() is not None:
                deadline.reschedule(loop.time() + self._seconds)
            return message

        deadline = asyncio.timeout(self._seconds)
        scope[_KEY] = deadline
        try:
            async with deadline:
                await self._app(scope, receive_in_time, send_in_time)
        except TimeoutError:
            if started or not deadline.expired():
                raise
            answer = self._late_body(scope) if reading else self._late_answer(scope)
            await answer(scope, receive, send)

    def _late_body(self, scope: Scope) -> ASGIApp:
        message = (
            f"the request's body came too slowly: it fell {self._behind:g} s behind {BODY_RATE} bytes "
            "a second"
        )
        answer = respond(Request(scope), 408, "slow_request", message)
        answer.headers["connection"] = "close"
        return answer

    def _late_answer(self, scope: Scope) -> ASGIApp:
        route = getattr(scope.get("route"), "path", "")
        _log.warning("request_timed_out", route=route, seconds=self._seconds)
        message = f"the request was not answered within {self._seconds:g} s; what it asked for may be done"
        return respond(Request(scope), 503, "timeout", message)


async def unhurried(request: Request) -> None:
    """A dependency of routes that read as much as they are asked for: no limit but their own."""
    deadline = request.scope.get(_KEY)
    if isinstance(deadline, asyncio.Timeout):
        deadline.reschedule(None)
