"""Owns what one subscriber of one job is sent, from hello to end.

    hello, [reset], snapshot, events ..., end        for who comes without a cursor, or with a useless one
    hello, the events after the cursor ..., end      for who comes back

The stream attaches to the ring before it reads the job's state, so nothing falls between the two. A
subscriber's place is a position; while the ring does not reach back to it, pages of history move it on.
hello primes a cursor from which the job's whole history follows: a client that loses the connection before
the snapshot came has lost nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from redis.exceptions import RedisError

from triton import keys
from triton.errors import HoleError, LogError, UnavailableError
from triton.events.types import TERMINAL as TERMINAL_EVENTS
from triton.feed import frames
from triton.feed.contract import (
    PATIENCE,
    SOON,
    CatchUp,
    LookUp,
    Refused,
    Sees,
    Snapshot,
    Timing,
    Write,
    everybody,
    refused,
)
from triton.feed.cursor import Reason, epoch_id
from triton.feed.history import History
from triton.feed.hub import Closing, Hub, Subscription
from triton.feed.job_batch import catch_up, position_of
from triton.feed.ring import Frame
from triton.feed.topics import topic
from triton.job import TERMINAL


class _Gap(Exception):  # noqa: N818
    """The stream cannot go on from where it is; its argument is the Reason."""


class JobFeed:
    """Opens streams of single jobs."""

    def __init__(
        self, hub: Hub, history: History, look_up: LookUp, *, timing: Timing | None = None
    ) -> None:
        self.hub = hub
        self.history = history
        self.look_up = look_up
        self.timing = timing or Timing()

    async def open(
        self, job: str, cursor: str | None, *, sees: Sees = everybody
    ) -> JobStream | Refused | Literal["unknown", "ended"]:
        """A stream for who has seen `cursor` (None: nothing yet).

        `unknown`: there is no such job, or none that who asks `sees`. `ended`: the job is over and the
        cursor is at its end.
        """
        refusal = self.hub.refusal()
        if refusal is not None:
            return refused(refusal, self.timing)
        partition = keys.partition_of(job, self.hub.partitions)
        subscription = self.hub.attach(partition, (topic("job", job),))
        stream = JobStream(self, job, subscription)
        opened = False
        try:
            answer = await stream.begin(cursor, sees)
            opened = answer is stream
        except (UnavailableError, RedisError, LogError):
            return refused("unavailable", self.timing)
        finally:
            if not opened:
                stream.close()
        return answer

    async def catch_up(
        self,
        job: str,
        cursor: str | None,
        *,
        sees: Sees,
        limit: int,
        wait: float,
    ) -> CatchUp | Reason | Literal["unknown"]:
        """The same as a batch: see `triton.feed.job_batch`."""
        return await catch_up(
            self.hub,
            self.history,
            self.look_up,
            job,
            cursor,
            sees=sees,
            limit=limit,
            wait=wait,
        )


class JobStream:
    """One subscriber of one job; made by `JobFeed.open`."""

    def __init__(self, feed: JobFeed, job: str, subscription: Subscription) -> None:
        self._feed = feed
        self._hub = feed.hub
        self._job = job
        self._place = subscription
        self._requested: str | None = None
        self._state: Snapshot | None = None
        self._resume_at: int | None = None
        self._reason: Reason | None = None
        self._version: int | None = None
        self._ended = ""
        self._joined_at = subscription.position
        self._sent = 0
        self._caught_up = False
        self._patience = PATIENCE
        self._over = False
        self._ends_at = 0.0
        self._written_at = 0.0
        self._most = feed.timing.write_bytes
        self.write: Write | None = None

    def close(self) -> None:
        """Whoever reads the pieces gets no more; safe to call again."""
        self._over = True
        self._place.bell.set()
        self._hub.detach(self._place)

    def close_for(self, reason: Closing) -> None:
        """Say why, and end."""
        self._place.closing = self._place.closing or reason
        self._place.bell.set()

    async def begin(
        self, cursor: str | None, sees: Sees
    ) -> JobStream | Literal["unknown", "ended"]:
        """Find out where the stream starts."""
        self._requested = cursor
        state = await self._feed.look_up(self._job, sees)
        if state is None:
            return "unknown"
        self._state = state
        if cursor is None:
            return self
        partition = self._place.partition
        found = await position_of(self._hub, partition, self._joined_at, cursor, state.tenant)
        if not isinstance(found, int):
            self._reason = found
        elif state.state in TERMINAL and found >= state.position:
            return "ended"
        else:
            self._resume_at = found
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the subscriber is sent, each piece one write."""
        self._ends_at = asyncio.get_running_loop().time() + self._feed.timing.life()
        yield self._greeting()
        while not self._over:
            self._place.bell.clear()
            if piece := await self._piece():
                yield piece

    async def _piece(self) -> bytes:
        """The next write; empty where there is to be looked again."""
        if asyncio.get_running_loop().time() >= self._ends_at:
            self._place.closing = self._place.closing or "rotate"
        if self._place.closing is not None:
            self._over = True
            return await self._farewell(self._place.closing)
        try:
            piece = await self._next()
        except (RedisError, LogError, UnavailableError):
            self._place.closing = "unavailable"
            return b""
        if self._place.pending:
            return piece
        if self._ended:
            self._over = True
            return piece + self._control("end", {"state": self._ended, "job": self._job})
        return piece or await self._quiet()

    async def _quiet(self) -> bytes:
        """Everything was delivered: say so once, then wait for the bell or for the next heartbeat."""
        if not self._caught_up:
            if self._place.position < self._known().position and self._patience:
                # The tail is behind what the job's state shows already.
                self._patience -= 1
                await self._place.bell.wait_for(SOON)
                return b""
            self._caught_up = True
            return self._control("caught-up", {"job": self._job, "position": self._place.position})
        if await self._waits() or self._place.pending:
            return b""
        self._hub.read(self._place, 0)
        return (
            self._control("cursor", {}) if self._place.position > self._sent else frames.HEARTBEAT
        )

    def _greeting(self) -> bytes:
        """hello, and for who has no place in the log also why, the snapshot, and the end if it came."""
        state = self._known()
        place = 0 if self._resume_at is None else self._resume_at
        self._hub.seek(self._place, place)
        hello = frames.retry(self._feed.timing.retry_ms()) + self._control(
            "hello",
            {
                "job": self._job,
                "requested": None if self._requested is None else self._requested[:64],
                "effective": self._cursor(place),
                "oldest": self._cursor(0),
                "epoch": epoch_id((self._hub.epoch(self._place.partition),)),
                "heartbeat_ms": int(self._feed.timing.heartbeat * 1000),
            },
        )
        if self._resume_at is None:
            hello += self._restart(state, self._joined_at)
        elif place == 0:
            self._version = 0
        elif state.live and place >= state.position:
            # Nothing of the job lies between its last event and the ring's end when the stream joined.
            self._hub.seek(self._place, max(place, self._joined_at))
        return hello

    def _restart(self, state: Snapshot, joined_at: int) -> bytes:
        """Begin with the job's state: the snapshot's frame, after the reason where there is one."""
        reset = b""
        if self._reason is not None:
            reset = self._control("reset", {"reason": self._reason, "oldest": self._cursor(0)})
            self._reason = None
        # A head in Redis reflects every event that was in the log when it was read.
        start = max(joined_at, state.position) if state.live else state.position
        self._hub.seek(self._place, start)
        self._version = state.version
        self._ended = state.state if state.state in TERMINAL else ""
        return reset + self._control("snapshot", state.json)

    async def _next(self) -> bytes:
        """What follows now; empty when nothing does, or when a page of history held nothing of the job."""
        try:
            found = self._hub.read(self._place, self._most)
            if found is None:
                page = await self._page()
                return self._deliver(page, b"".join([frame.raw for frame in page]))
            return self._deliver(found.frames, found.raw)
        except HoleError:
            self._reason = "trimmed"
        except _Gap:
            self._reason = "gap"
        return await self._reset()

    async def _page(self) -> list[Frame]:
        place, ring = self._place, self._hub.ring(self._place.partition)
        page = await self._feed.history.page(
            self._job,
            place.partition,
            max(place.position, place.pending - 1),
            version=self._version or 0,
            until=ring.oldest - 1,
        )
        state = self._known()
        position = page.position
        if state.live and state.position <= position < self._joined_at:
            position = self._joined_at
        self._hub.seek(place, position)
        epoch = self._hub.epoch(place.partition)
        return [self._hub.framer.shown(epoch, shown) for shown in page.events]

    def _deliver(self, found: Sequence[Frame], raw: bytes) -> bytes:
        """The frames as one write. Raises _Gap where the job's versions do not follow one another."""
        for frame in found:
            if self._version is not None and frame.version != self._version + 1:
                raise _Gap
            self._version = frame.version
            self._ended = frame.type[4:] if frame.type in TERMINAL_EVENTS else ""
            self._sent = frame.position
        self._hub.delivered += len(found)
        return raw

    async def _reset(self) -> bytes:
        joined_at = self._hub.ring(self._place.partition).last
        state = await self._feed.look_up(self._job, everybody)
        if state is None:
            raise UnavailableError(f"job {self._job} left every store while it was followed")
        self._state, self._joined_at = state, joined_at
        return self._restart(state, joined_at)

    async def _waits(self) -> bool:
        """Whether there is something to do before the next heartbeat."""
        loop, heartbeat = asyncio.get_running_loop(), self._feed.timing.heartbeat
        self._written_at = loop.time()
        while (until := min(self._written_at + heartbeat, self._ends_at)) > loop.time():
            if await self._place.bell.wait_for(until - loop.time(), self._serve):
                return True
        return self._ends_at <= loop.time()

    def _serve(self) -> bool:
        """Send what is new, where it is simple: all of it in the ring, no end, and a client that reads."""
        write, hub, place = self.write, self._hub, self._place
        batch = hub.look(place, self._most)
        if write is None or batch is None or not batch.plain:
            return False
        if found := batch.frames:
            version = self._version
            if version is None or found[0].version != version + 1 or not write(batch.raw):
                return False
            last = found[-1]
            self._version, self._sent = last.version, last.position
            self._written_at = hub.rung_at
            hub.delivered += len(found)
        hub.move(place, batch)
        return True

    async def _farewell(self, reason: Closing) -> bytes:
        timing = self._feed.timing
        self._hub.closed[reason] += 1
        if reason == "draining":
            await asyncio.sleep(timing.leave(self._hub.open_streams))
        return frames.bye(reason, timing.retry_ms())

    def _known(self) -> Snapshot:
        assert self._state is not None, "begin comes first"
        return self._state

    def _cursor(self, position: int) -> str:
        place = self._place
        epoch, tenant = self._hub.epoch(place.partition), self._known().tenant
        return self._hub.framer.cursor(epoch, place.partition, position, tenant)

    def _control(self, name: frames.Control, data: object) -> bytes:
        """A control frame at the stream's place."""
        self._sent = self._place.position
        return frames.control(name, data, self._cursor(self._place.position))
