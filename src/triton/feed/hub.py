"""Owns the fan-out: which streams are open, what each has seen, and when it is woken.

A stream is a position in the ring and a bell; there is no queue per stream. Bells ring at once when the
process is idle. The more streams the last ringing woke, the longer the next one waits, up to TICK: under
load the cost is per send, so several events go out in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

from triton.events.log import Entry, Log
from triton.feed.framer import Framer
from triton.feed.ring import Frame, Ring, Topic
from triton.feed.tail import Tail

#: Seconds between two ringings at most.
TICK: Final = 0.05
#: Seconds of sending that a woken stream costs, with as much again left for other work.
_COST: Final = 0.0001

#: Why a stream is closed before its end, or not opened. `log`: the log broke a promise.
Closing: TypeAlias = Literal["draining", "overloaded", "unavailable", "log", "rotate"]


class Subscription:
    """One stream's place: all of its topic up to `position` was delivered.

    `pending` is the lowest position that may hold something more; 0 when nothing does.
    """

    __slots__ = ("bell", "closing", "partition", "pending", "position", "topic")

    def __init__(self, partition: int, topic: Topic, position: int) -> None:
        self.partition = partition
        self.topic = topic
        self.position = position
        self.pending = 0
        self.closing: Closing | None = None
        self.bell = asyncio.Event()


class Hub:
    """The open streams of one process. `open_log` opens the log anew, for the start and after trouble.

    ring_capacity is in entries per partition, ring_bytes in stored bytes.
    """

    def __init__(
        self,
        open_log: Callable[[], Awaitable[Log]],
        framer: Framer,
        *,
        ring_capacity: int = 8192,
        ring_bytes: int = 32 * 1024 * 1024,
        max_streams: int = 10_000,
    ) -> None:
        self.framer = framer
        self.draining = False
        self._open_log = open_log
        self._ring_capacity = ring_capacity
        self._ring_bytes = ring_bytes
        self._max_streams = max_streams
        self._tails: list[Tail] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._streams: dict[tuple[int, Topic], set[Subscription]] = {}
        self._open = 0
        self._woken: set[Subscription] = set()
        self._ring_again = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Fill the rings and follow the log. Raises UnavailableError, LogError, RedisError."""
        log = await self._open_log()
        self._tails = [
            Tail(
                partition,
                log,
                self._open_log,
                new_ring=self._new_ring,
                on_entries=self._announce,
                on_break=self._break,
            )
            for partition in range(log.partitions)
        ]
        for tail in self._tails:
            await tail.begin()
        self._tasks = [asyncio.create_task(tail.run()) for tail in self._tails]

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def partitions(self) -> int:
        return len(self._tails)

    @property
    def open_streams(self) -> int:
        return self._open

    @property
    def trouble(self) -> str:
        """Why the feed stands still, in a sentence; empty when it runs."""
        return next((tail.trouble for tail in self._tails if tail.trouble), "")

    def log(self, partition: int) -> Log:
        """The log as it was last opened."""
        return self._tails[partition].log

    def ring(self, partition: int) -> Ring:
        return self._tails[partition].ring

    def epoch(self, partition: int) -> str:
        return self.log(partition).epochs[partition]

    def refusal(self) -> Closing | None:
        """Why no stream can be opened now."""
        if self.draining:
            return "draining"
        if self.trouble:
            return "unavailable"
        return "overloaded" if self._open >= self._max_streams else None

    def attach(self, partition: int, topic: Topic) -> Subscription:
        """A new stream that has seen everything up to the ring's end. `detach` it in the end."""
        stream = Subscription(partition, topic, self.ring(partition).last)
        self._streams.setdefault((partition, topic), set()).add(stream)
        self._open += 1
        return stream

    def detach(self, stream: Subscription) -> None:
        """The stream is over; detaching it again does nothing."""
        key = (stream.partition, stream.topic)
        streams = self._streams.get(key, set())
        if stream in streams:
            streams.remove(stream)
            self._open -= 1
            if not streams:
                del self._streams[key]

    def seek(self, stream: Subscription, position: int) -> None:
        """From here on the stream has seen everything up to `position`, and nothing after it."""
        stream.position = position
        stream.pending = position + 1 if position < self.ring(stream.partition).last else 0

    def read(self, stream: Subscription, max_bytes: int) -> list[Frame] | None:
        """What follows for the stream, and moves it on; None where the ring does not reach back to it.

        After an answer that left nothing `pending`, the stream's position is the ring's end.
        """
        ring = self.ring(stream.partition)
        if stream.pending and not ring.covers(stream.pending - 1):
            return None
        frames: list[Frame] = []
        complete = True
        if stream.pending:
            frames, complete = ring.read(stream.topic, stream.position, max_bytes)
        if complete:
            stream.position = max(stream.position, ring.last)
            stream.pending = 0
        else:
            stream.position = frames[-1].position
            stream.pending = stream.position + 1
        return frames

    def drain(self) -> None:
        """Close every stream and open none any more. Call it in the event loop's thread."""
        self.draining = True
        self._close_all("draining")

    def _new_ring(self, log: Log, partition: int, after: int) -> Ring:
        epoch = log.epochs[partition]
        return Ring(
            after,
            lambda entry: self.framer.entry(epoch, entry),
            capacity=self._ring_capacity,
            max_bytes=self._ring_bytes,
        )

    def _announce(self, ring: Ring, entries: Sequence[Entry]) -> None:
        """New entries for the ring: notes for whom, and rings their bells now or soon."""
        for entry in entries:
            for topic in ring.append(entry):
                for stream in self._streams.get((entry.partition, topic), ()):
                    if stream.pending == 0:
                        stream.pending = entry.position
                    self._woken.add(stream)
        if self._woken and self._timer is None:
            loop = asyncio.get_running_loop()
            delay = self._ring_again - loop.time()
            if delay <= 0:
                self._ring_bells()
            else:
                self._timer = loop.call_later(delay, self._ring_bells)

    def _ring_bells(self) -> None:
        self._timer = None
        for stream in self._woken:
            stream.bell.set()
        pause = min(TICK, len(self._woken) * _COST)
        self._ring_again = asyncio.get_running_loop().time() + pause
        self._woken.clear()

    def _break(self, partition: int, reason: Closing) -> None:
        self._close_all(reason, partition)

    def _close_all(self, reason: Closing, partition: int | None = None) -> None:
        for (of, _), streams in self._streams.items():
            if partition is None or of == partition:
                for stream in streams:
                    stream.closing = stream.closing or reason
                    stream.bell.set()
