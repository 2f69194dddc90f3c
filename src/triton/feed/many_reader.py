"""Owns where one follower of many jobs stands in each partition, and what follows for it there.

While the ring reaches back to a place it is read; before that, the one reader over archive and log, in
bounded steps. Both are joined at a position, so nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import gt
from typing import Final, NamedTuple

from triton.events.entries import Page
from triton.events.envelope import JOB
from triton.events.render_page import show_page
from triton.feed import frames
from triton.feed.bell import Bell
from triton.feed.cursor import Cursor, Reason, epoch_id
from triton.feed.hub import Closing, Hub, Subscription
from triton.feed.ring import Frame
from triton.feed.wanted import Begin, Wanted
from triton.history.actors import Actors, AskedOnce
from triton.history.filters import only
from triton.history.reader import History

#: Entries of the ring that are looked at in one step, and positions of the past: few at first, so that who
#: comes back has an answer at once.
LIVE: Final = 1000
_FIRST: Final = 200
_PAST: Final = 10_000


class Found(NamedTuple):
    """An event that follows, and whose it is."""

    job: str
    frame: Frame


class ManyReader:
    """One follower. `log` answers the log of a partition with its past, `actors` the actors of jobs; `turn`
    bounds how many read the past at once."""

    def __init__(
        self,
        hub: Hub,
        log: Callable[[int], History],
        wanted: Wanted,
        tenant: str,
        turn: asyncio.Semaphore,
        actors: AskedOnce,
    ) -> None:
        self.bell = Bell()
        self._hub = hub
        self._log = log
        self._wanted = wanted
        self._tenant = tenant
        self._turn = turn
        partitions = wanted.partitions(hub.partitions)
        self._places = [hub.attach(each, wanted.topics(), self.bell) for each in partitions]
        #: What was delivered, of all partitions from the first to the last that is followed.
        self._first = partitions[0]
        self._seen = [0] * (partitions[-1] - partitions[0] + 1)
        self._skip: dict[str, int] = {}
        asked = wanted.chosen.actors
        self._actors = Actors(asked, actors, actors.told_by) if asked is not None else None
        # A ready frame has the cursor of one partition and of its event's tenant.
        self._ready = len(self._seen) == 1 and bool(tenant)
        self._turns = 0
        self._reach = _FIRST

    def close(self) -> None:
        for place in self._places:
            self._hub.detach(place)

    @property
    def closing(self) -> Closing | None:
        return next((place.closing for place in self._places if place.closing), None)

    def close_for(self, reason: Closing) -> None:
        self._places[0].closing = self._places[0].closing or reason

    @property
    def behind(self) -> bool:
        """Whether something may follow at once."""
        return any(place.pending for place in self._places)

    @property
    def epoch(self) -> str:
        return epoch_id(self._epochs())

    def position(self, partition: int) -> int:
        """How far it was delivered in a partition that is followed."""
        return self._seen[partition - self._first]

    async def begin(self, begin: Begin) -> None:
        """Stand where who has no cursor begins. Raises UnavailableError, RedisError."""
        for place in self._places:
            if begin == "now":
                position = place.position
            elif begin == "earliest":
                first = await self._log(place.partition).first_position(place.partition)
                position = max(first - 1, 0)
            else:
                position = await self._log(place.partition).position_at(place.partition, begin - 1)
            self._seek(place, position)

    async def resume(self, text: str) -> Reason | None:
        """Stand where a cursor says; answers why it cannot. Raises RedisError."""
        read = self._hub.framer.signer.read(text, self._tenant)
        if read == "invalid":
            return "invalid"
        end = min(read.first + len(read.positions), self._hub.partitions)
        covered = tuple(self._hub.epoch(partition) for partition in range(read.first, end))
        if read.epoch != epoch_id(covered):
            return "epoch"
        found = [(place, read.position(place.partition)) for place in self._places]
        for place, position in found:
            if position is None:
                return "partition"
            if position > place.position and position > await self._log(place.partition).position(
                place.partition
            ):
                return "future"
        for place, position in found:
            self._seek(place, position or 0)
        return None

    def start_at(self, partition: int, position: int) -> None:
        """Stand in a partition at a position, or before it."""
        for place in self._places:
            if place.partition == partition:
                self._seek(place, min(self._of(place), position))

    def skip(self, job: str, position: int) -> None:
        """What the job did up to a position is known to the follower."""
        self._skip[job] = position

    def cursor(self) -> str:
        """Where the follower is now."""
        low = min(self._of(place) for place in self._places)
        followed = {place.partition for place in self._places}
        positions = tuple(
            seen if self._first + index in followed else low
            for index, seen in enumerate(self._seen)
        )
        return self._hub.framer.signer.write(
            Cursor(self.epoch, self._first, positions), self._tenant
        )

    def frame(self, partition: int, found: Frame) -> bytes:
        """The bytes of a frame that is delivered now; from here on it was."""
        self._seen[partition - self._first] = found.position
        self._hub.delivered += 1
        if self._ready:
            return found.raw
        return frames.event(found.line, self.cursor())

    async def next(self) -> tuple[int, list[Found]]:
        """A partition and what follows there; nothing where that was all, or where there is to be looked
        again (`behind`). Raises HoleError, LogError, UnavailableError, RedisError.

        Before it is called again, each frame is to be handed to `frame`.
        """
        place = self._choose()
        if place is None:
            for each in self._places:
                self._seek(each, self._hub.ring(each.partition).last)
            return self._first, []
        after = max(self._of(place), place.pending - 1)
        ring = self._hub.ring(place.partition)
        if ring.covers(after):
            page = ring.page(place.partition, after, LIVE)
            last = page.positions[-1] if page else after
            kept = await self._kept(page) if page else None
            found = (
                []
                if kept is None
                else list(map(Found, _jobs(kept), map(ring.frame, kept.positions)))
            )
        else:
            last, found = await self._past(place.partition, after, ring.oldest - 1)
        self._hub.seek(place, last)
        if not found:
            self._seen[place.partition - self._first] = last
        return place.partition, found

    def _choose(self) -> Subscription | None:
        """The places take turns."""
        for _ in self._places:
            self._turns += 1
            place = self._places[self._turns % len(self._places)]
            if place.pending:
                return place
        return None

    async def _kept(self, page: Page) -> Page:
        """What is wanted of a page and was not known before."""
        if self._actors is not None:
            await self._actors.learn(page)
        page = only(page, self._wanted.mask(page, self._actors.fits if self._actors else None))
        if self._skip:
            known = [self._skip.get(job, 0) for job in _jobs(page)]
            page = only(page, list(map(gt, page.positions, known)))
        return page

    async def _past(self, partition: int, after: int, until: int) -> tuple[int, list[Found]]:
        last = min(after + self._reach, until)
        self._reach = min(_PAST, 5 * self._reach)
        self._hub.past_reads += 1
        epoch, framer = self._hub.epoch(partition), self._hub.framer
        found: list[Found] = []
        async with self._turn:
            pages = self._log(partition).pages(partition, after + 1, last, self._wanted.chosen)
            async for page in pages:
                kept = await self._kept(page)
                if kept.size:
                    shown = [framer.shown(epoch, one) for one in show_page(kept, framer.source)]
                    found += map(Found, _jobs(kept), shown)
                if len(found) >= LIVE:
                    return page.positions[-1], found
        return last, found

    def _seek(self, place: Subscription, position: int) -> None:
        self._seen[place.partition - self._first] = position
        self._hub.seek(place, position)

    def _of(self, place: Subscription) -> int:
        return self._seen[place.partition - self._first]

    def _epochs(self) -> tuple[str, ...]:
        return tuple(
            self._hub.epoch(partition)
            for partition in range(self._first, self._first + len(self._seen))
        )


def _jobs(page: Page) -> list[str]:
    return [job.decode() for job in page.columns[JOB]]
