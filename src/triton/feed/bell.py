"""Owns how a stream that waits is told of news: it is woken, or served on the spot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell(asyncio.Event):
    """What one stream waits for. Waking its task costs several times what sending an event does, so a stream
    that has nothing else to do leaves a `server`: it sends what is new, or answers that it cannot."""

    __slots__ = ("_server",)

    def __init__(self) -> None:
        super().__init__()
        self._server: Callable[[], bool] | None = None

    def ring(self) -> None:
        """There is something new."""
        if self._server is None or not self._server():
            self.set()

    async def wait_for(self, seconds: float, server: Callable[[], bool] | None = None) -> bool:
        """Whether it rang within so many seconds and was not served by `server`."""
        self._server = server
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self.wait()
        except TimeoutError:
            return False
        finally:
            self._server = None
        return True
