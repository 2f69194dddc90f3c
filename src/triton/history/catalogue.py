"""Owns finding segments: in PostgreSQL, and by the archive's own keys where that does not know them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

from triton.archive import ArchiveStore
from triton.errors import UnavailableError
from triton.evidence import layout
from triton.evidence.layout import Tree
from triton.history import segments
from triton.history.index import Index
from triton.history.segments import NOT_EXPIRED, Expired, Segment

#: Lives of a log that are looked through backwards.
_LIVES: Final = 100


class Catalogue:
    """The segments of every partition, as they were last seen. What is asked for and not there is looked up
    again: new segments come at the end, and old ones may expire."""

    def __init__(self, index: Index | None, archive: Callable[[], ArchiveStore] | None) -> None:
        self._index = index
        self._archive = archive
        self._known: dict[Tree, Sequence[Segment]] = {}
        self._expired: dict[Tree, Expired] = {}

    def expired(self, tree: Tree) -> Expired:
        """What has expired of a tree and the lives before it, as it was last seen."""
        return self._expired.get(tree, NOT_EXPIRED)

    async def look_expired(self, tree: Tree) -> Expired:
        """The same as it is now. Raises UnavailableError."""
        if self._index is not None:
            with contextlib.suppress(UnavailableError):
                known, expired = await self._from_index(self._index, tree)
                if expired.until or segments.at(known, 1) is not None:
                    self._expired[tree] = expired
                    return expired
        await self.look(tree, 1)
        return self.expired(tree)

    async def find(self, tree: Tree, position: int) -> Segment | None:
        """The segment with a position; None where there is none. Raises UnavailableError where that
        cannot be told."""
        found = self.known(tree, position)
        if found is not None:
            return found
        return segments.at(await self.look(tree, position), position)

    def known(self, tree: Tree, position: int) -> Segment | None:
        """The segment with a position, where it was found before."""
        return segments.at(self._known.get(tree, ()), position)

    async def upto(self, tree: Tree, last: int) -> Sequence[Segment]:
        """All segments in order, looked up again where those that are known do not reach `last`."""
        known = self._known.get(tree, ())
        if known and known[-1].last >= last:
            return known
        return await self.look(tree, last)

    async def look(self, tree: Tree, position: int) -> Sequence[Segment]:
        """All segments in order, as they are now; by the archive's keys where PostgreSQL has none with
        a position. Raises UnavailableError."""
        known: Sequence[Segment] | None = None
        expired = NOT_EXPIRED
        if self._index is not None:
            with contextlib.suppress(UnavailableError):
                known, expired = await self._from_index(self._index, tree)
        missing = known is None or (
            position > expired.until and segments.at(known, position) is None
        )
        if self._archive is not None and missing:
            archived, gone = await self._from_archive(tree)
            if known is None or segments.at(archived, position) is not None:
                known = archived
            expired = gone if gone.until > expired.until else expired
        known = segments.behind(known or (), expired)
        self._known[tree], self._expired[tree] = known, expired
        return known

    def forget(self, tree: Tree) -> None:
        """What was known is not so any more."""
        self._known.pop(tree, None)

    async def _from_index(self, index: Index, tree: Tree) -> tuple[list[Segment], Expired]:
        rows = await index.rows("lives", {"partition": tree.partition})
        before = {row["epoch"]: (row["previous_epoch"], row["common"]) for row in rows}
        lives: list[tuple[Sequence[Segment], int | None]] = []
        epoch, common = tree.epoch, None
        expired = NOT_EXPIRED
        for _ in range(_LIVES):
            values = {"partition": tree.partition, "epoch": epoch}
            for row in await index.rows("expired", values):
                gone = Expired(*row.values())
                expired = max(expired, gone, key=lambda each: each.until)
            lives.append((segments.of_rows(epoch, await index.rows("segments", values)), common))
            if epoch not in before:
                break
            epoch, shared = before[epoch]
            common = shared if common is None else min(common, shared)
        return segments.joined(lives), expired

    async def _from_archive(self, tree: Tree) -> tuple[list[Segment], Expired]:
        assert self._archive is not None
        archive = self._archive
        keys = await asyncio.to_thread(lambda: list(archive().list(layout.segments(tree))))
        return segments.of_keys(tree.epoch, keys), segments.expired_in(keys)
