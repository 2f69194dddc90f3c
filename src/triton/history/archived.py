"""Owns reading segments: by position, by time, by job; of each only the footer and the blocks it takes.

Blocks and footers are kept for a while, and readers that want the same one share one read: many who come
back at once read the archive once.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from triton.archive import ArchiveStore
from triton.errors import (
    EvidenceError,
    ExpiredError,
    NotFoundError,
    TritonError,
    UnavailableError,
)
from triton.events.entries import Page
from triton.events.envelope import AT, JOB
from triton.evidence import segment as file
from triton.evidence.layout import Tree
from triton.evidence.segment import Footer
from triton.history.blocks import page_of_block
from triton.history.catalogue import Catalogue
from triton.history.filters import only
from triton.history.kept import Kept
from triton.history.segments import Expired, Segment, expired_error

#: Bytes of records, and of footers' indexes, that are kept.
_BLOCK_BYTES: Final = 32 * 1024 * 1024
_FOOTER_BYTES: Final = 16 * 1024 * 1024

_T = TypeVar("_T")


class Archived:
    """The archived part of every partition's log, for one event loop."""

    def __init__(self, store: Callable[[], ArchiveStore] | None, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._store = store
        self._blocks: Kept[Page] = Kept(_BLOCK_BYTES)
        self._footers: Kept[Footer] = Kept(_FOOTER_BYTES)

    @property
    def there(self) -> bool:
        """Whether there is an archive at all."""
        return self._store is not None

    async def page(
        self, tree: Tree, after: int, last: int | None, count: int | None
    ) -> Page | None:
        """Entries that follow a position, at most up to the end of a block; None where no segment has
        them. Raises UnavailableError, EvidenceError."""
        if self._store is None or (last is not None and after >= last):
            return None
        segment = await self._segment(tree, after + 1)
        if segment is None:
            return None
        footer = await self._footer(tree, segment)
        index = footer.block_at(after + 1)
        page = await self._block(tree, segment, footer, index)
        first = page.positions[0]
        end = min(page.positions[-1], segment.last, *(() if last is None else (last,)))
        begin = after + 1 - first
        stop = end - first + 1 if count is None else min(end - first + 1, begin + count)
        return page.part(begin, stop) if begin or stop < page.size else page

    async def ahead(self, tree: Tree, position: int) -> None:
        """Has the block with a position ready for who reads on, where its segment is known."""
        segment = self.catalogue.known(tree, position) if self._store is not None else None
        if segment is not None:
            with contextlib.suppress(TritonError):
                footer = await self._footer(tree, segment)
                await self._block(tree, segment, footer, footer.block_at(position))

    async def expired(self, tree: Tree) -> Expired:
        """What has expired, as it is now. Raises UnavailableError."""
        if self._store is None:
            return self.catalogue.expired(tree)
        return await self._explained(tree, 1, self.catalogue.look_expired(tree))

    async def first_position(self, tree: Tree, live: int) -> int:
        """The oldest position of any segment, or `live`, which is where Redis begins."""
        if self._store is None or live <= 1:
            return live
        known = await self._upto(tree, live - 1)
        return min(known[0].first, live) if known else live

    async def last_position(self, tree: Tree) -> int:
        """The last archived position as it is known; 0 for none."""
        known = await self.catalogue.upto(tree, 0) if self._store else ()
        return known[-1].last if known else 0

    async def position_at(self, tree: Tree, at: int, before: int, *, exact: bool = True) -> int:
        """The last position below `before` whose event was at a time or earlier; 0 for none. Without `exact`
        it may be a later one of the same block, which is then not read."""
        if self._store is None:
            return 0
        known = await self._upto(tree, before - 1)
        low, high = 0, len(known)
        while low < high:
            middle = (low + high) // 2
            if await self._first_at(tree, known[middle]) <= at:
                low = middle + 1
            else:
                high = middle
        if low == 0:  # what expired was before all that is there
            return min(self.catalogue.expired(tree).until, before - 1)
        segment = known[low - 1]
        if 0 < segment.last_at <= at:
            return min(segment.last, before - 1)
        footer = await self._footer(tree, segment)
        index = bisect_right(footer.blocks, at, key=lambda block: block.first_at) - 1
        block = footer.blocks[index]
        if block.last_at <= at or not exact:
            found = block.last_position
        else:
            page = await self._block(tree, segment, footer, index)
            found = block.first_position - 1 + bisect_right(page.columns[AT], at, key=int)
        return min(found, segment.last, before - 1)

    async def of_jobs(
        self, tree: Tree, jobs: frozenset[str], after: int, last: int, *, since: int = 0
    ) -> AsyncIterator[tuple[Page | None, int]]:
        """What segments hold of some jobs after a position, oldest first: pages, and how far each reaches
        (also where nothing was found). Ends at `last`, or at the first position that no segment has.

        `since` is a time before which none of their events was.
        """
        if self._store is None:
            return
        wanted = frozenset(job.encode() for job in jobs)
        while after < last:
            segment = await self._segment(tree, after + 1)
            if segment is None:
                return
            end = min(segment.last, last)
            if not 0 < segment.last_at < since:
                footer = await self._footer(tree, segment)
                for index in sorted({index for job in jobs for index in footer.blocks_of(job)}):
                    block = footer.blocks[index]
                    if block.last_position <= after or block.first_position > end:
                        continue
                    page = await self._block(tree, segment, footer, index)
                    begin = max(0, after + 1 - block.first_position)
                    page = page.part(begin, end - block.first_position + 1)
                    found = only(page, [job in wanted for job in page.columns[JOB]])
                    after = min(block.last_position, end)
                    yield found if found.size else None, after
            after = end
            yield None, after

    async def _segment(self, tree: Tree, position: int) -> Segment | None:
        return await self._explained(tree, position, self.catalogue.find(tree, position))

    async def _upto(self, tree: Tree, last: int) -> Sequence[Segment]:
        return await self._explained(tree, last, self.catalogue.upto(tree, last))

    async def _first_at(self, tree: Tree, segment: Segment) -> int:
        return segment.first_at or (await self._footer(tree, segment)).blocks[0].first_at

    async def _footer(self, tree: Tree, segment: Segment) -> Footer:
        read = self._footers.get(segment.key, partial(self._read_footer, segment))
        return await self._explained(tree, segment.first, read)

    async def _block(self, tree: Tree, segment: Segment, footer: Footer, index: int) -> Page:
        read = self._blocks.get(
            (segment.key, index), partial(self._read_block, segment, footer, index)
        )
        return await self._explained(tree, footer.blocks[index].first_position, read)

    async def _read_footer(self, segment: Segment) -> tuple[Footer, int]:
        def read() -> Footer:
            store = self._opened()
            size = segment.size or store.size(segment.key)
            return file.read_footer(partial(store.read_range, segment.key), size)

        footer = await asyncio.to_thread(read)
        if footer.epoch != segment.epoch or not (
            footer.first_position <= segment.first <= segment.last <= footer.last_position
        ):
            raise EvidenceError(
                f"The segment {segment.key} says that it holds {footer.first_position} to "
                f"{footer.last_position} of epoch {footer.epoch}: it is not the one that was archived "
                "there. Read it from another copy of the archive.",
                key=segment.key,
            )
        return footer, sum(map(len, footer.jobs))

    async def _read_block(self, segment: Segment, footer: Footer, index: int) -> tuple[Page, int]:
        block = footer.blocks[index]

        def read() -> tuple[Page, int]:
            records = file.read_block(partial(self._opened().read_range, segment.key), block)
            return page_of_block(footer.partition, block, records), sum(map(len, records))

        return await asyncio.to_thread(read)

    def _opened(self) -> ArchiveStore:
        assert self._store is not None, "asked for without an archive"
        return self._store()

    async def _explained(self, tree: Tree, position: int, read: Coroutine[Any, Any, _T]) -> _T:
        where = f"position {position} of partition {tree.partition} is not in Redis any more"
        try:
            return await read
        except UnavailableError as error:
            raise UnavailableError(
                f"{where}, and the archive cannot be read: {error.message}",
                partition=tree.partition,
                position=position,
            ) from error
        except NotFoundError as error:
            self.catalogue.forget(tree)
            expired = await self._expired_meanwhile(tree, position)
            if expired is not None:
                raise expired from error
            raise EvidenceError(
                f"{where}, and its segment is missing: {error.message} Restore it from a copy.",
                partition=tree.partition,
                position=position,
            ) from error

    async def _expired_meanwhile(self, tree: Tree, position: int) -> ExpiredError | None:
        """Why a segment that was there has no file now."""
        with contextlib.suppress(UnavailableError, NotFoundError):
            await self.catalogue.look(tree, position)
        expired = self.catalogue.expired(tree)
        if position > expired.until:
            return None
        return expired_error(tree.partition, position, position, expired)
