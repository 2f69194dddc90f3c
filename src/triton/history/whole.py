"""Owns reading Redis and the archive as one log, without its caller knowing where from.

Whatever is trimmed was archived before. So a reader asks Redis first, and the archive for what Redis does
not have: whenever a trim happens, each position is found in one of the two. Where neither has it, the
reader stops (HoleError).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, Self

import redis.asyncio

from triton import keys
from triton.errors import HoleError
from triton.events.codec import position_of
from triton.events.entries import Entry, Page, Raw, dense, page_of
from triton.events.envelope import TYPE, Event
from triton.events.log import Log
from triton.evidence.layout import Tree
from triton.history.past import Past
from triton.history.segments import expired_error

#: Entries in one read of Redis.
PAGE: Final = 1000


class WholeLog(Log):
    """The log of one namespace, from its first position that is kept anywhere. For concurrent tasks of one
    event loop.

    Every read of a Log is one of it; a checkpoint whose entry left Redis is compared with the archive's. They
    raise, besides what theirs do, UnavailableError where what is asked for is in an archive that does not
    answer, and EvidenceError where a segment is damaged. What is live in Redis needs no archive.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        namespace: str,
        epochs: Sequence[str],
        past: Past | None = None,
    ) -> None:
        super().__init__(client, namespace, tuple(epochs))
        self.past = past or Past()

    @classmethod
    def over(cls, log: Log, past: Past) -> Self:
        """The same log with its past. Cheap: what was read is kept in `past`."""
        return cls(log.client, log.namespace, log.epochs, past)

    def tree(self, partition: int) -> Tree:
        return Tree(self.namespace, partition, self.epochs[partition])

    async def first_position(self, partition: int) -> int:
        """The oldest position that is in Redis or in the archive; 0 for none."""
        # Asked first: the first events of a log may come between the two.
        last = await self.position(partition)
        live = await self.first_live(partition) or last + 1
        first = await self.past.archived.first_position(self.tree(partition), live)
        return first if first <= await self.position(partition) else 0

    async def range(
        self, partition: int, after: int, *, until: int | None = None, count: int = PAGE
    ) -> list[Entry]:
        """Up to `count` entries at positions after+1, after+2, ... (at most `until`), without a hole."""
        page = await self.page(partition, after, until=until, count=count)
        return [page.entry(index) for index in range(page.size)] if page else []

    async def page(
        self, partition: int, after: int, *, until: int | None = None, count: int | None = PAGE
    ) -> Page | None:
        """The same as a page; None for no entries. Without a count it is as large as it comes at once; with
        one it is smaller only at the end of what is there."""
        parts: list[Page] = []
        size = 0
        while count is None or size < count:
            room = None if count is None else count - size
            found = await self.next_page(partition, after, until, room)
            if isinstance(found, Page):
                parts.append(found)
            elif found:
                parts.append(page_of(partition, after, found))
            if count is None or not isinstance(found, Page):
                break
            after = found.positions[-1]
            size += found.size
        return _joined(parts)

    async def entry(self, partition: int, position: int) -> Entry | None:
        """The entry at a position, or None where nobody has it (any more, or yet)."""
        entry = await super().entry(partition, position)
        if entry is not None or position > await self.position(partition):
            return entry
        page = await self.past.archived.page(self.tree(partition), position - 1, position, 1)
        return page.entry(0) if page else None

    async def wait(
        self, partition: int, after: int, *, block_ms: int, count: int = PAGE
    ) -> list[Entry]:
        if self._is_trimmed(partition, after):
            return await self.range(partition, after, count=count)
        raw = await self._xread(partition, after, block_ms, count)
        if raw and not _follows(partition, raw, after):
            return await self.range(partition, after, count=count)
        return dense(partition, after, raw)

    async def wait_page(
        self, partition: int, after: int, *, block_ms: int, count: int = PAGE
    ) -> Page | None:
        if self._is_trimmed(partition, after):
            return await self.page(partition, after, count=count)
        raw = await self._xread(partition, after, block_ms, count)
        if raw and not _follows(partition, raw, after):
            return await self.page(partition, after, count=count)
        return page_of(partition, after, raw) if raw else None

    async def submission(self, job: str, before: int, *, since: int, most: int) -> Event | None:
        found = await super().submission(job, before, since=since, most=most)
        partition = keys.partition_of(job, self.partitions)
        live = await self.first_live(partition)
        if found is not None or live == 1:
            return found
        newest = None
        pages = self.past.archived.of_jobs(
            self.tree(partition), frozenset((job,)), 0, before, since=since
        )
        async for page, _ in pages:
            for index in range(page.size if page else 0):
                assert page is not None
                if page.columns[TYPE][index] == b"job.submitted":
                    newest = page.entry(index)
        return newest.event() if newest else None

    # What it is made of.

    async def first_live(self, partition: int) -> int:
        """The oldest position in Redis; 0 when there is none."""
        return await super().first_position(partition)

    async def live(
        self, partition: int, after: int, until: int | None, count: int, *, again: bool = False
    ) -> Raw | None:
        """What Redis has of the positions after one, empty at the log's end; None where they left Redis.
        `again`: look there also where they were seen to have left it before."""
        if not again and self._is_trimmed(partition, after):
            return None
        for _ in range(2):
            raw = await self._after(partition, after, until, count)
            if _follows(partition, raw, after):
                return raw
            if not raw and after >= await self.position(partition):
                return raw
            # Nothing, and yet it goes on: it left, or came only now.
        first = await self.first_live(partition) or await self.position(partition) + 1
        if first > after + 1:
            place = self._place(partition)
            self.past.trimmed[place] = max(first - 1, self.past.trimmed.get(place, 0))
        return None

    async def live_entries(self, partition: int, positions: Sequence[int]) -> list[Entry | None]:
        """The entries at positions that Redis has, in one round trip."""
        key = keys.log(self.prefix(partition))
        async with self.client.pipeline(transaction=False) as pipe:
            for position in positions:
                pipe.execute_command("XRANGE", key, f"{position}-0", f"{position}-0")
            replies: list[Any] = await pipe.execute() if positions else []
        return [
            Entry(partition, position, reply[0][1]) if reply else None
            for position, reply in zip(positions, replies, strict=True)
        ]

    def hole(self, partition: int, first: int, last: int) -> HoleError:
        """The error where positions are in neither place, just now."""
        expired = self.past.archived.catalogue.expired(self.tree(partition))
        if first <= expired.until:
            return expired_error(partition, first, last, expired)
        if self.past.archived.there:
            where = "neither in Redis nor in the archive"
        else:
            where = "not in Redis any more, and no archive is known (TRITON_ARCHIVE_URL)"
        return HoleError(
            f"positions {first} to {last} of partition {partition} are {where}",
            partition=partition,
            position=first,
        )

    async def next_page(
        self, partition: int, after: int, until: int | None, count: int | None
    ) -> Raw | Page:
        """What follows, from wherever it is: a Page where it is from the archive."""
        if until is not None and after >= until:
            return []
        at_once = PAGE if count is None else count
        raw = await self.live(partition, after, until, at_once)
        if raw is not None:
            return raw
        page = await self.past.archived.page(self.tree(partition), after, until, count)
        if page is not None:
            return page
        # What Redis lost may have come back: by a restore.
        raw = await self.live(partition, after, until, at_once, again=True)
        if raw is not None:
            return raw
        first = await self.first_live(partition) or await self.position(partition) + 1
        raise self.hole(partition, after + 1, max(after + 1, first - 1))

    def _place(self, partition: int) -> tuple[str, str]:
        return keys.log(self.prefix(partition)), self.epochs[partition]

    def _is_trimmed(self, partition: int, after: int) -> bool:
        return after < self.past.trimmed.get(self._place(partition), 0)


def _joined(parts: Sequence[Page]) -> Page | None:
    """Pages that follow one another as one."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = [
        list(chain.from_iterable(column))
        for column in zip(*(p.columns for p in parts), strict=True)
    ]
    positions = range(parts[0].positions[0], parts[-1].positions[-1] + 1)
    return Page(parts[0].partition, positions, columns)


def _follows(partition: int, raw: Raw, after: int) -> bool:
    """Whether a reply continues after a position. Raises ForeignEntryError for one that begins with an entry
    that the scripts did not write, which is nowhere else either."""
    if not raw:
        return False
    first = position_of(raw[0][0])
    if first != after + 1:
        dense(partition, first - 1, raw[:1])
    return first == after + 1
