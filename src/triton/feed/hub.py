"""Owns the fan-out: which streams are open, what each has seen, and when it is woken.

A stream is a position in the ring and a bell; there is no queue per stream. Bells ring at once when the
process is idle. The more streams the last ringing woke, the longer the next one waits, up to TICK: under
load the cost is per send, so several events go out in one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, TypeAlias

from triton.ending import ended
from triton.events.log import Entry, Log
from triton.feed import topics
from triton.feed.bell import Bell
from triton.feed.framer import Framer
from triton.feed.ring import NOTHING, Batch, Ring
from triton.feed.tail import Tail
from triton.feed.topics import Topic, kind_of

#: Seconds between two ringings at most.
TICK: Final = 0.06
#: Seconds of sending that a stream costs, with as much again and more left for other work.
_COST: Final = 0.00006

#: Why a stream is closed before its end, or not opened. `log`: the log broke a promise.
Closing: TypeAlias = Literal[
    "draining", "overloaded", "unavailable", "log", "rotate", "limited", "expired"
]


class Subscription:
    """One stream's place in one partition: all of its topics up to `position` was delivered.

    `pending` is the lowest position that may hold something more; 0 when nothing does. The places of one
    stream in several partitions share a bell.
    """

    __slots__ = ("bell", "closing", "partition", "pending", "position", "topics")

    def __init__(
        self, partition: int, followed: Sequence[Topic], position: int, bell: Bell
    ) -> None:
        self.partition = partition
        self.topics = followed
        self.position = position
        self.pending = 0
        self.closing: Closing | None = None
        self.bell = bell


_NOBODY: Final[frozenset[Subscription]] = frozenset()


class Hub:
    """The open streams of one process. `open_log` opens the log anew, for the start and after trouble.

    ring_capacity is in entries per partition, ring_bytes in stored bytes. `on_entries` is told of all entries
    that go by, with their partition's epoch.
    """

    def __init__(
        self,
        open_log: Callable[[], Awaitable[Log]],
        framer: Framer,
        *,
        ring_capacity: int = 8192,
        ring_bytes: int = 32 * 1024 * 1024,
        max_streams: int = 10_000,
        on_entries: Callable[[str, Sequence[Entry]], None] | None = None,
    ) -> None:
        self.framer = framer
        self.draining = False
        #: Events that were handed to streams, and pages of the past that streams read.
        self.delivered = 0
        self.past_reads = 0
        #: Streams that were ended before their end, and those that were not opened, by reason.
        self.closed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._on_entries = on_entries
        self._open_log = open_log
        self._ring_capacity = ring_capacity
        self._ring_bytes = ring_bytes
        self._max_streams = max_streams
        self._tails: list[Tail] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._streams: dict[tuple[int, Topic], set[Subscription]] = {}
        #: How many streams follow a topic of each kind, besides those of jobs.
        self._kinds: Counter[bytes] = Counter()
        self._bells: Counter[Bell] = Counter()
        self._woken: set[Subscription] = set()
        #: When bells rang last, by the loop's clock.
        self.rung_at = 0.0
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
        await ended(self._tasks)

    @property
    def partitions(self) -> int:
        return len(self._tails)

    @property
    def open_streams(self) -> int:
        return len(self._bells)

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
        return "overloaded" if self.open_streams >= self._max_streams else None

    def attach(
        self, partition: int, followed: Sequence[Topic], bell: Bell | None = None
    ) -> Subscription:
        """A new place that has seen everything up to the ring's end. `detach` it in the end.

        Places with the same bell are one stream.
        """
        last = self.ring(partition).last
        place = Subscription(partition, followed, last, bell or Bell())
        for topic in followed:
            self._streams.setdefault((partition, topic), set()).add(place)
            self._kinds[kind_of(topic)] += 1
        self._bells[place.bell] += 1
        return place

    def detach(self, place: Subscription) -> None:
        """The stream is over; detaching it again does nothing."""
        for topic in place.topics:
            key = (place.partition, topic)
            places = self._streams.get(key, set())
            if place not in places:
                return
            places.remove(place)
            self._kinds[kind_of(topic)] -= 1
            if not places:
                del self._streams[key]
        self._bells[place.bell] -= 1
        if not self._bells[place.bell]:
            del self._bells[place.bell]

    def seek(self, stream: Subscription, position: int) -> None:
        """From here on the stream has seen everything up to `position`, and nothing after it."""
        stream.position = position
        stream.pending = position + 1 if position < self.ring(stream.partition).last else 0

    def read(self, stream: Subscription, max_bytes: int) -> Batch | None:
        """What follows for a stream of one topic, and moves it on; None where the ring does not reach back
        to it.

        After an answer that left nothing `pending`, the stream's position is the ring's end.
        """
        batch = self.look(stream, max_bytes)
        if batch is not None:
            self.move(stream, batch)
        return batch

    def look(self, stream: Subscription, max_bytes: int) -> Batch | None:
        """The same, without moving it on."""
        pending = stream.pending
        if not pending:
            return NOTHING
        ring = self._tails[stream.partition].ring
        if pending < ring.oldest:
            self.past_reads += 1
            return None
        return ring.read(stream.topics[0], stream.position, max_bytes)

    def move(self, stream: Subscription, batch: Batch) -> None:
        """The stream has seen what `look` just answered."""
        if batch.complete:
            stream.position = max(stream.position, self._tails[stream.partition].ring.last)
            stream.pending = 0
        else:
            stream.position = batch.frames[-1].position
            stream.pending = stream.position + 1

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
        if not entries:
            return
        partition = entries[0].partition
        others = [kind for kind in topics.COLUMNS if self._kinds[kind]]
        #: Where each topic came first, in this order.
        first: dict[Topic, int] = {}
        for entry in entries:
            found = ring.append(entry)
            for topic in (*found, *topics.others(entry, others)) if others else found:
                first.setdefault(topic, entry.position)
        for topic, position in first.items():
            streams = self._streams.get((partition, topic), _NOBODY)
            for stream in streams:
                if stream.pending == 0:
                    stream.pending = position
            self._woken |= streams
        if self._on_entries is not None:
            self._on_entries(self.epoch(partition), entries)
        if self._woken and self._timer is None:
            loop = asyncio.get_running_loop()
            delay = self._ring_again - loop.time()
            if delay <= 0:
                self._ring_bells()
            else:
                self._timer = loop.call_later(delay, self._ring_bells)

    def _ring_bells(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        begin = self.rung_at = loop.time()
        for stream in self._woken:
            stream.bell.ring()
        end = loop.time()
        # Counted from the beginning, so that sending to many does not add to what all of them wait; and yet
        # others have a turn of half of what was sent at once.
        pause = min(TICK, len(self._woken) * _COST)
        self._ring_again = max(begin + pause, end + min((end - begin) / 2, TICK))
        self._woken.clear()

    def _break(self, partition: int, reason: Closing) -> None:
        self._close_all(reason, partition)

    def _close_all(self, reason: Closing, partition: int | None = None) -> None:
        for (of, _), places in self._streams.items():
            if partition is None or of == partition:
                for place in places:
                    place.closing = place.closing or reason
                    place.bell.set()
