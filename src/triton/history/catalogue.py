"""Owns finding segments: in PostgreSQL, and by the archive's own keys where that does not know them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from triton.archive import ArchiveStore
from triton.errors import UnavailableError
from triton.evidence import layout
from triton.evidence.layout import Tree
from triton.history import segments
from triton.history.index import Index
from triton.history.segments import NOT_EXPIRED, Expired, Segment

#: Lives of a log that are looked through backwards.
_LIVES: Final = 100


class _Life(NamedTuple):
    """One life of a log: its segments, and the last position that it shares with the present one."""

    epoch: str
    segments: Sequence[Segment]
    common: int | None


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
                lives, expired = await self._from_index(self._index, tree)
                if expired.until or segments.at(_joined(lives), 1) is not None:
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
        """All segments in order, as they are now; by the archive's own keys too where PostgreSQL has none
        with a position, or forgot one between. Raises UnavailableError."""
        lives: list[_Life] | None = None
        expired = NOT_EXPIRED
        if self._index is not None:
            with contextlib.suppress(UnavailableError):
                lives, expired = await self._from_index(self._index, tree)
        known = _joined(lives or ())
        missing = position > expired.until and segments.at(known, position) is None
        if self._archive is not None and (missing or not segments.dense(known, expired)):
            lives = lives or [_Life(tree.epoch, (), None)]
            known, gone = await self._from_archive(tree, lives)
            expired = gone if gone.until > expired.until else expired
        known = segments.behind(known, expired)
        self._known[tree], self._expired[tree] = known, expired
        return known

    def forget(self, tree: Tree) -> None:
        """What was known is not so any more."""
        self._known.pop(tree, None)

    async def _from_index(self, index: Index, tree: Tree) -> tuple[list[_Life], Expired]:
        rows = await index.rows("lives", {"partition": tree.partition})
        before = {row["epoch"]: (row["previous_epoch"], row["common"]) for row in rows}
        lives: list[_Life] = []
        epoch, common = tree.epoch, None
        expired = NOT_EXPIRED
        for _ in range(_LIVES):
            values = {"partition": tree.partition, "epoch": epoch}
            for row in await index.rows("expired", values):
                gone = Expired(*row.values())
                expired = max(expired, gone, key=lambda each: each.until)
            found = segments.of_rows(epoch, await index.rows("segments", values))
            lives.append(_Life(epoch, found, common))
            if epoch not in before:
                break
            epoch, shared = before[epoch]
            common = shared if common is None else min(common, shared)
        return lives, expired

    async def _from_archive(
        self, tree: Tree, lives: Sequence[_Life]
    ) -> tuple[list[Segment], Expired]:
        """The same lives, with what the archive itself has of them; `Expired` of the present one."""
        assert self._archive is not None
        archive = self._archive
        found: list[_Life] = []
        expired = NOT_EXPIRED
        for life in lives:
            keys = await asyncio.to_thread(_keys, archive, tree._replace(epoch=life.epoch))
            there = segments.united(life.segments, segments.of_keys(life.epoch, keys))
            found.append(life._replace(segments=there))
            if life.epoch == tree.epoch:
                expired = segments.expired_in(keys)
        return _joined(found), expired


def _keys(archive: Callable[[], ArchiveStore], tree: Tree) -> list[str]:
    return list(archive().list(layout.segments(tree)))


def _joined(lives: Sequence[_Life]) -> list[Segment]:
    return segments.joined([(life.segments, life.common) for life in lives])
