"""Owns remembering for a short while what a store said, so that not every request asks it.

What is remembered is believed for `fresh` seconds. Where the store does not answer, it is believed for
`stale` seconds: nobody can revoke anything there meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from triton.errors import UnavailableError

T = TypeVar("T")

#: Answers that are remembered at most; those that were asked for longest ago go first.
MOST: Final = 4096


class _Known(NamedTuple, Generic[T]):
    value: T
    at: float


class Remembered(Generic[T]):
    """Answers of `ask` by name. Many who ask for the same name at once are one question. None is no answer,
    and is asked again each time."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[T | None]],
        *,
        fresh: float,
        stale: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._fresh = fresh
        self._stale = max(fresh, stale)
        self._clock = clock
        self._known: OrderedDict[str, _Known[T]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[T | None]] = {}

    async def get(self, name: str) -> T | None:
        """Raises UnavailableError."""
        known = self._known.get(name)
        if known is not None and self._clock() - known.at < self._fresh:
            self._known.move_to_end(name)
            return known.value
        task = self._asking.get(name)
        if task is None:
            task = asyncio.create_task(self._look(name))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._asked(name, done))
        try:
            # Who goes away does not take the answer from those who wait for the same.
            return await asyncio.shield(task)
        except UnavailableError:
            if known is not None and self._clock() - known.at < self._stale:
                return known.value
            raise

    def forget(self, name: str = "") -> None:
        """The next who asks gets what is so now; without a name: of all."""
        # What is being asked may have been read before.
        if name:
            self._known.pop(name, None)
            self._asking.pop(name, None)
        else:
            self._known.clear()
            self._asking.clear()

    async def _look(self, name: str) -> T | None:
        at = self._clock()
        me = asyncio.current_task()
        value = await self._ask(name)
        if self._asking.get(name) is not me:
            return value
        if value is None:
            self._known.pop(name, None)
            return None
        self._known[name] = _Known(value, at)
        self._known.move_to_end(name)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return value

    def _asked(self, name: str, task: asyncio.Task[T | None]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]
        if not task.cancelled():
            # Seen, also where all who asked have gone.
            task.exception()
