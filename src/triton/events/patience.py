"""Owns that calls of Redis are repeated for a time, and not only for a number of tries."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio.retry import Retry
from redis.backoff import AbstractBackoff

T = TypeVar("T")


class ShortRetry(Retry):
    """Repeats as `Retry` does, but once at most when `seconds` have passed since the first try: a server
    that hangs takes the whole of a socket's timeout for each. Once, because it may be we who hung."""

    def __init__(self, backoff: AbstractBackoff, retries: int, seconds: float) -> None:
        super().__init__(backoff, retries)
        self._seconds = seconds

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        ends = time.monotonic() + self._seconds

        async def failed(error: Exception, count: int) -> None:
            # First of all: it closes a connection whose answer may still come.
            await (fail(error, count) if with_failure_count else fail(error))
            if count > 1 and time.monotonic() >= ends:
                raise error

        return await super().call_with_retry(do, failed, is_retryable, with_failure_count=True)
