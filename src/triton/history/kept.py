"""Owns keeping what was read for a while, up to so many bytes, with one read for all who ask at once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """For one event loop. What was not asked for longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._values: OrderedDict[object, tuple[T, int]] = OrderedDict()
        self._reads: dict[object, asyncio.Task[T]] = {}

    async def get(self, key: object, read: Callable[[], Coroutine[Any, Any, tuple[T, int]]]) -> T:
        """The value of a key; `read` gives it and its size in bytes where it is not there. Raises what
        `read` does; that is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        task = self._reads.get(key)
        if task is None:
            task = self._reads[key] = asyncio.create_task(self._read(key, read))
            # Whoever waits is told of an error; where all have left, nobody need be.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # One of several who wait may leave; the others wait on.
        return await asyncio.shield(task)

    async def _read(self, key: object, read: Callable[[], Coroutine[Any, Any, tuple[T, int]]]) -> T:
        try:
            value, size = await read()
        finally:
            del self._reads[key]
        self._values[key] = value, size
        self._bytes += size
        while self._bytes > self._max_bytes and len(self._values) > 1:
            _, (_, gone) = self._values.popitem(last=False)
            self._bytes -= gone
        return value
