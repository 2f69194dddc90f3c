"""Owns the keys of stream tokens: one for each day, in Redis beside the log, where every process has them.

The key of a day is made by whoever needs it first. A token lives no longer than a day, so the key of the day
before is kept and older ones are removed: keys change by themselves. `forget` removes all of them at once,
and with them every token that is out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError

from triton import keys
from triton.errors import UnavailableError, no_answer

#: Seconds for which a key signs: also the longest life of a token.
PERIOD: Final = 24 * 3600
#: Seconds for which a process uses what it read: keys that were forgotten count for so long at most.
FRESH: Final = 5.0


class StreamKeys:
    """The keys as one process knows them. `now` is seconds since 1970."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        namespace: str,
        *,
        now: Callable[[], float] = time.time,
        fresh: float = FRESH,
    ) -> None:
        self._client = client
        self._name = keys.stream_keys(keys.prefix(namespace, 0))
        self._now = now
        self._fresh = fresh
        self._known: dict[int, bytes] = {}
        self._read_at = float("-inf")

    async def current(self) -> tuple[int, bytes]:
        """The key to sign with, and its number. Raises UnavailableError."""
        number = int(self._now() // PERIOD)
        found = (await self._all()).get(number)
        if found is None:
            found = await self._made(number)
        return number, found

    async def find(self, number: int) -> bytes | None:
        """A key that may still count. Raises UnavailableError where it is not known whether there is one."""
        today = int(self._now() // PERIOD)
        # Clocks differ: a process that is ahead signs with tomorrow's.
        if not today - 1 <= number <= today + 1:
            return None
        return (await self._all()).get(number) or (await self._all(again=True)).get(number)

    async def forget(self) -> None:
        """No token that is out counts any more. Raises UnavailableError."""
        try:
            await self._client.delete(self._name)
        except (RedisError, OSError) as error:
            raise UnavailableError(no_answer("Redis", error)) from error
        self._known, self._read_at = {}, float("-inf")

    async def _all(self, *, again: bool = False) -> dict[int, bytes]:
        age = time.monotonic() - self._read_at
        if age < (self._fresh / 5 if again else self._fresh):
            return self._known
        try:
            found: Any = await self._client.hgetall(self._name)
        except (RedisError, OSError) as error:
            if self._known:
                return self._known
            raise UnavailableError(no_answer("Redis", error)) from error
        self._known = {int(number): bytes(key) for number, key in found.items()}
        self._read_at = time.monotonic()
        return self._known

    async def _made(self, number: int) -> bytes:
        try:
            await self._client.hsetnx(self._name, str(number), secrets.token_bytes(32))
            key = await self._client.hget(self._name, str(number))
            old = [str(each) for each in self._known if each < number - 1]
            if old:
                await self._client.hdel(self._name, *old)
        except (RedisError, OSError) as error:
            raise UnavailableError(no_answer("Redis", error)) from error
        if not isinstance(key, bytes):
            raise UnavailableError("the key of stream tokens was removed a moment ago; try again")
        self._known = {**self._known, number: key}
        return key
