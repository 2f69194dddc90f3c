"""Owns live counters of all queues: read once for everybody, a few times a second, while somebody looks.

They are a state and no history: a stream begins with the newest, and has no cursor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

from triton.errors import TritonError
from triton.feed import frames
from triton.feed.contract import Refused, Timing, Write, refused
from triton.feed.hub import Closing, Hub
from triton.feed.topics import topic
from triton.observe.logger import get_logger

#: Seconds between two looks while the log moves, and while it does not (waits grow all the same).
TICK: Final = 0.3
REST: Final = 2.0

_log = get_logger("triton.feed")


class Counters:
    """`read` answers the counters as a line of JSON."""

    def __init__(
        self,
        hub: Hub,
        read: Callable[[], Awaitable[bytes]],
        *,
        timing: Timing | None = None,
        tick: float = TICK,
        rest: float = REST,
    ) -> None:
        self.hub = hub
        self.timing = timing or Timing()
        self.newest = b""
        self._read = read
        self._tick = tick
        self._rest = rest
        self._streams: set[CounterStream] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> CounterStream | Refused:
        refusal = self.hub.refusal()
        if refusal is not None:
            return refused(refusal, self.timing)
        stream = CounterStream(self)
        self._streams.add(stream)
        if self._task is None or self._task.done():
            self.newest = b""
            self._task = asyncio.create_task(self._look())
        return stream

    def left(self, stream: CounterStream) -> None:
        self._streams.discard(stream)

    async def _look(self) -> None:
        """Until nobody looks any more."""
        loop = asyncio.get_running_loop()
        moved, again = -1, 0.0
        while self._streams:
            now = sum(self.hub.ring(partition).last for partition in range(self.hub.partitions))
            if now != moved or loop.time() >= again:
                moved, again = now, loop.time() + self._rest
                await self._renew()
            await asyncio.sleep(self._tick)

    async def _renew(self) -> None:
        try:
            found = await self._read()
        except (TritonError, RedisError, OSError) as error:
            _log.warning("queues_not_counted", reason=str(error))
            for stream in self._streams:
                stream.close_for("unavailable")
            return
        if found != self.newest:
            self.newest = found
            for stream in self._streams:
                stream.wake()


class CounterStream:
    """One subscriber; made by `Counters.open`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        # No event has this topic; the place is counted, and closed when the feed drains.
        self._place = counters.hub.attach(0, (topic("queues"),))
        self._over = False
        self.write: Write | None = None

    def wake(self) -> None:
        self._place.bell.set()

    def close_for(self, reason: Closing) -> None:
        self._place.closing = self._place.closing or reason
        self.wake()

    def close(self) -> None:
        """Whoever reads the pieces gets no more; safe to call again."""
        self._over = True
        self._counters.left(self)
        self._counters.hub.detach(self._place)
        self.wake()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The counters whenever they change, each piece one write."""
        timing = self._counters.timing
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timing.life()
        hello = {"heartbeat_ms": int(timing.heartbeat * 1000)}
        yield frames.retry(timing.retry_ms()) + frames.control("hello", hello)
        sent = b""
        while not self._over:
            self._place.bell.clear()
            if loop.time() >= ends_at:
                self.close_for("rotate")
            if self._place.closing is not None:
                self._counters.hub.closed[self._place.closing] += 1
                yield frames.bye(self._place.closing, timing.retry_ms())
                return
            newest = self._counters.newest
            if newest != sent:
                sent = newest
                yield frames.state(newest)
            elif not await self._place.bell.wait_for(timing.heartbeat):
                yield frames.HEARTBEAT
