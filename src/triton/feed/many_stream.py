"""Owns what one subscriber of many jobs is sent.

    hello, [reset], snapshots of the jobs that were named, events ...    for who comes without a cursor
    hello, the events after the cursor ...                               for who comes back

`triton.end` follows once every job that was named has ended. Contract: docs/reference/sse.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Literal

from redis.exceptions import RedisError

from triton import keys
from triton.errors import EvidenceError, HoleError, LogError, UnavailableError
from triton.events.types import TERMINAL as TERMINAL_EVENTS
from triton.feed import frames
from triton.feed.contract import (
    PATIENCE,
    SOON,
    CatchUp,
    LookUpMany,
    Refused,
    Snapshot,
    Timing,
    Write,
    refused,
)
from triton.feed.cursor import Reason
from triton.feed.hub import Closing, Hub
from triton.feed.many_reader import Found
from triton.feed.many_serving import ServingReader
from triton.feed.wanted import Begin, Wanted
from triton.history.actors import AskedOnce
from triton.history.reader import History
from triton.job import TERMINAL

#: Followers that read the past at the same time.
_AT_ONCE: Final = 4


class ManyFeed:
    """Opens streams of many jobs. `log` answers the log of a partition with its past."""

    def __init__(
        self,
        hub: Hub,
        log: Callable[[int], History],
        look_up: LookUpMany,
        *,
        timing: Timing | None = None,
    ) -> None:
        self.hub = hub
        self.look_up = look_up
        self.timing = timing or Timing()
        self._log = log
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._actors = AskedOnce(lambda jobs: log(0).actors_of(jobs))

    async def open(
        self, wanted: Wanted, tenant: str, cursor: str | None, begin: Begin
    ) -> ManyStream | Refused | Literal["ended"]:
        """A stream for who has seen `cursor`, or (None) who begins at `begin`.

        `ended`: the jobs that were named are over, and the cursor is at their end.
        """
        refusal = self.hub.refusal()
        if refusal is not None:
            return refused(refusal, self.timing)
        stream = ManyStream(self, self.reader(wanted, tenant), wanted, tenant)
        opened = False
        try:
            answer = await stream.begin(cursor, begin)
            opened = answer is stream
        except (UnavailableError, RedisError, EvidenceError, LogError):
            return refused("unavailable", self.timing)
        finally:
            if not opened:
                stream.close()
        return answer

    async def catch_up(
        self,
        wanted: Wanted,
        tenant: str,
        cursor: str | None,
        begin: Begin,
        *,
        limit: int,
        wait: float,
    ) -> CatchUp | Reason:
        """Up to `limit` events; waits up to `wait` seconds for the first. Answers why a cursor is none.

        Raises UnavailableError, RedisError, LogError.
        """
        reader = self.reader(wanted, tenant)
        try:
            if cursor is None:
                await reader.begin(begin)
            elif (reason := await reader.resume(cursor)) is not None:
                return reason
            loop = asyncio.get_running_loop()
            until = loop.time() + wait
            found: list[bytes] = []
            while len(found) < limit:
                reader.bell.clear()
                partition, events = await reader.next()
                for event in events[: limit - len(found)]:
                    reader.frame(partition, event.frame)
                    found.append(event.frame.line)
                if reader.behind:
                    continue
                if found or loop.time() >= until or reader.closing:
                    break
                await reader.bell.wait_for(until - loop.time())
            return CatchUp(found, reader.cursor(), len(found) < limit)
        finally:
            reader.close()

    def reader(self, wanted: Wanted, tenant: str) -> ServingReader:
        return ServingReader(self.hub, self._log, wanted, tenant, self._turn, self._actors)


class ManyStream:
    """One subscriber; made by `ManyFeed.open`."""

    def __init__(self, feed: ManyFeed, reader: ServingReader, wanted: Wanted, tenant: str) -> None:
        self._feed = feed
        self._reader = reader
        self._wanted = wanted
        self._tenant = tenant
        self._requested: str | None = None
        self._reason: Reason | None = None
        self._states: list[Snapshot] = []
        self._some = False
        self._alive: set[str] = set()
        self._caught_up = False
        #: What was known of the named jobs when the stream began.
        self._begun_with: list[tuple[str, Snapshot]] = []
        self._patience = PATIENCE
        self._sent = ""
        self._over = False
        self._written_at = 0.0
        self.write: Write | None = None

    def close(self) -> None:
        """Whoever reads the pieces gets no more; safe to call again."""
        self._over = True
        self._reader.bell.set()
        self._reader.close()

    def close_for(self, reason: Closing) -> None:
        """Say why, and end."""
        self._reader.close_for(reason)
        self._reader.bell.set()

    async def begin(self, cursor: str | None, begin: Begin) -> ManyStream | Literal["ended"]:
        """Find out where the stream starts."""
        self._requested = cursor
        if cursor is not None:
            self._reason = await self._reader.resume(cursor)
        fresh = cursor is None or self._reason is not None
        if fresh:
            await self._reader.begin(begin if cursor is None else "now")
        if self._wanted.chosen.jobs is None:
            return self
        self._begun_with = states = await self._look_up(self._wanted.chosen.jobs)
        if not fresh:
            return "ended" if states and not self._alive and self._is_past(states) else self
        # Who begins earlier is told all by the events themselves.
        if cursor is not None or begin == "now":
            self._start_after(states)
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the subscriber is sent, each piece one write."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._feed.timing.life()
        yield self._greeting()
        while not self._over:
            self._reader.bell.clear()
            if loop.time() >= ends_at:
                self._reader.close_for("rotate")
            if (closing := self._reader.closing) is not None:
                self._over = True
                yield await self._farewell(closing)
                return
            try:
                partition, found = await self._reader.next()
            except HoleError:
                yield await self._reset("trimmed")
                continue
            except (RedisError, LogError, EvidenceError, UnavailableError):
                self._reader.close_for("unavailable")
                continue
            for piece in self._written(partition, found):
                yield piece
            if self._reader.behind or found:
                continue
            if self._wanted.ends and self._some and not self._alive:
                self._over = True
                yield self._control("end", {"jobs": len(self._wanted.chosen.jobs or ())})
                return
            if piece := await self._quiet():
                yield piece

    async def _look_up(self, jobs: Iterable[str]) -> list[tuple[str, Snapshot]]:
        """The states of those jobs that the tenant has; which of them live."""
        states = await self._feed.look_up(frozenset(jobs), self._wanted.shows)
        self._some = bool(states)
        self._alive = {job for job, state in states if state.state not in TERMINAL}
        return states

    def _is_past(self, states: list[tuple[str, Snapshot]]) -> bool:
        partitions = self._feed.hub.partitions
        return all(
            self._reader.position(keys.partition_of(job, partitions)) >= state.position
            for job, state in states
        )

    def _start_after(self, states: list[tuple[str, Snapshot]]) -> None:
        """What a state reflects is not sent again, and what it does not reflect yet is."""
        partitions = self._feed.hub.partitions
        for job, state in states:
            self._reader.skip(job, state.position)
            if not state.live:
                self._reader.start_at(keys.partition_of(job, partitions), state.position)
        self._states = [state for _, state in states] if self._wanted.snapshots else []

    def _greeting(self) -> bytes:
        requested = None if self._requested is None else self._requested[:64]
        hello = frames.retry(self._feed.timing.retry_ms()) + self._control(
            "hello",
            {
                "requested": requested,
                "effective": self._reader.cursor(),
                "epoch": self._reader.epoch,
                "heartbeat_ms": int(self._feed.timing.heartbeat * 1000),
            },
        )
        if self._reason is not None:
            hello += self._control("reset", {"reason": self._reason})
        return hello + self._snapshots()

    def _snapshots(self) -> bytes:
        states, self._states = self._states, []
        return b"".join(self._control("snapshot", state.json) for state in states)

    async def _reset(self, reason: Reason) -> bytes:
        """Begin anew with what is now: something in between cannot be had any more."""
        await self._reader.begin("now")
        if self._wanted.chosen.jobs is not None:
            self._start_after(await self._look_up(self._wanted.chosen.jobs))
        return self._control("reset", {"reason": reason}) + self._snapshots()

    def _written(self, partition: int, found: list[Found]) -> Iterable[bytes]:
        most = self._feed.timing.write_bytes
        write: list[bytes] = []
        size = 0
        for job, frame in found:
            raw = self._reader.frame(partition, frame)
            if write and size + len(raw) > most:
                yield b"".join(write)
                write, size = [], 0
            write.append(raw)
            size += len(raw)
            if frame.type in TERMINAL_EVENTS:
                self._alive.discard(job)
            elif self._wanted.ends:
                self._alive.add(job)
                self._some = True
        if write:
            yield b"".join(write)
            self._sent = ""

    async def _quiet(self) -> bytes:
        """Everything was delivered: say so once, then wait for the bell or for the next heartbeat."""
        if not self._caught_up:
            if not self._is_past(self._begun_with) and self._patience:
                # The tail is behind what the jobs' states show already.
                self._patience -= 1
                await self._reader.bell.wait_for(SOON)
                return b""
            self._caught_up = True
            self._begun_with = []
            return self._control("caught-up", {})
        if await self._waits():
            return b""
        # The log went on without anything for this subscriber: its cursor should not fall behind.
        moved = self._reader.cursor() != self._sent
        return self._control("cursor", {}) if moved else frames.HEARTBEAT

    async def _waits(self) -> bool:
        """Whether there is something to do before the next heartbeat."""
        loop, heartbeat = asyncio.get_running_loop(), self._feed.timing.heartbeat
        self._written_at = loop.time()
        while (left := self._written_at + heartbeat - loop.time()) > 0:
            if await self._reader.bell.wait_for(left, self._serve):
                return True
        return False

    def _serve(self) -> bool:
        alive = self._alive if self._wanted.ends else None
        return self.write is not None and self._reader.serve(self._noting, alive)

    def _noting(self, piece: bytes) -> bool:
        assert self.write is not None
        if len(piece) > self._feed.timing.write_bytes or not self.write(piece):
            return False
        self._written_at = self._feed.hub.rung_at
        self._sent = ""
        return True

    async def _farewell(self, reason: Closing) -> bytes:
        timing = self._feed.timing
        self._feed.hub.closed[reason] += 1
        if reason == "draining":
            await asyncio.sleep(timing.leave(self._feed.hub.open_streams))
        return frames.bye(reason, timing.retry_ms())

    def _control(self, name: frames.Control, data: object) -> bytes:
        self._sent = self._reader.cursor()
        return frames.control(name, data, self._sent)
