"""Owns killing a coroutine at one of its awaits: the crash of a process, made deterministic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Literal

import psycopg
from projecting import opened

from triton.events.log import Log
from triton.postgres import Connection
from triton.settings import Settings


class Killed(BaseException):
    """The coroutine was left where it was, as a killed process leaves everything."""


class Interrupted:
    """Awaits a coroutine up to its n-th suspension.

    `kill` leaves it suspended for ever: no handler and no `finally` of it runs. `cancel` throws
    CancelledError into it there, and lets it clean up.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], at: int, how: Literal["kill", "cancel"]
    ) -> None:
        self._coroutine = coroutine
        self._at = at
        self._how = how
        self.count = 0

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        while True:
            try:
                coroutine = self._coroutine
                waited = coroutine.throw(error) if error else coroutine.send(None)
            except StopIteration:
                return
            error = None
            self.count += 1
            if self.count == self._at:
                if self._how == "kill":
                    raise Killed
                error = asyncio.CancelledError()
                continue
            try:
                yield waited
            except BaseException as thrown:
                error = thrown

    def bury(self) -> None:
        """Take a killed coroutine out of the interpreter. Call it when its connections are gone.

        Whatever it awaits on its way out fails at once. `close` would leave behind those inner coroutines
        that await anything.
        """
        with contextlib.suppress(BaseException):
            while True:
                self._coroutine.throw(Killed())


async def interrupted(
    settings: Settings,
    work: Callable[[Log, Connection], Coroutine[Any, Any, None]],
    at: int,
    how: Literal["kill", "cancel"],
) -> bool:
    """Interrupt work on the log and a connection of its own. False where it ended before its n-th await."""
    async with opened(settings) as (log, _):
        connection = await psycopg.AsyncConnection.connect(settings.database_url, autocommit=True)
        attempt = Interrupted(work(log, connection), at, how)
        try:
            await attempt
        except (Killed, asyncio.CancelledError):
            return True
        finally:
            # What the kernel does with a dead process: its sockets are closed.
            connection.pgconn.finish()
            attempt.bury()
        return False
