"""Owns what an archiver looks up before it begins: what the archive knows and PostgreSQL has forgotten, and
which earlier life of the log this one goes on from."""

from __future__ import annotations

import asyncio

from triton.archive import ArchiveStore
from triton.errors import EvidenceError
from triton.evidence import layout, lineage, lives, recovering
from triton.evidence.inheriting import inherit
from triton.evidence.ledger import Ledger
from triton.evidence.notes import Signer
from triton.evidence.rows import Segment
from triton.observe.logger import get_logger


class Beginning:
    """Of one tree; `name` is the platform's in its heads."""

    def __init__(self, ledger: Ledger, archive: ArchiveStore, signer: Signer, name: str) -> None:
        self._ledger = ledger
        self._archive = archive
        self._signer = signer
        self._name = name
        self._say = get_logger("triton.archiver").bind(partition=ledger.tree.partition)

    async def remembered(self) -> None:
        """What PostgreSQL has forgotten of earlier lives: what they share with this one is read there."""
        tree = self._ledger.tree
        declared = await asyncio.to_thread(self._archive.exists, lives.key_of(tree))
        if declared and not await self._ledger.earlier():
            there = await asyncio.to_thread(
                lineage.lives_in, self._archive, tree.namespace, tree.partition
            )
            await self._ledger.lived(lineage.ancestry(there, tree.epoch))
        for before, common in await self._ledger.earlier():
            known = await self._ledger.segments_of(before, after=1, limit=100_000)
            try:
                all_ = await asyncio.to_thread(
                    recovering.segments_unknown, self._archive, before, known
                )
            except EvidenceError as error:
                self._say.warning("archiver.not_recovered", epoch=before.epoch, error=error.message)
                continue
            if found := [one for one in all_ if one.state == "sealed" and one.first <= common]:
                await self._ledger.recovered(found, [], of=before)
                self._say.warning("archiver.recovered", segments=len(found), epoch=before.epoch)

    async def recovered(self, known: list[Segment]) -> list[Segment]:
        """All segments of the tree: a PostgreSQL that was lost, or came back from a copy, learns of those
        that only the archive knows. Raises EvidenceError."""
        found = await asyncio.to_thread(
            recovering.segments_unknown, self._archive, self._ledger.tree, known
        )
        open_ = [(one.first, one.last) for one in known if not one.sealed]
        # One that was begun is there at most: its sealing goes on.
        if not found or open_ == [(one.first, one.last) for one in found]:
            return known
        heads = await asyncio.to_thread(recovering.newest_heads, self._archive, self._ledger.tree)
        await self._ledger.recovered(found, heads)
        self._say.warning("archiver.recovered", segments=len(found), from_position=found[0].first)
        return await self._ledger.segments()

    async def inherited(self) -> list[Segment]:
        """The segments of a new tree that had expired in the life before."""
        for before, common in await self._ledger.earlier():
            all_ = await self._ledger.segments_of(before, after=1, limit=100_000)
            gone = [one for one in all_ if one.expired and one.last <= common]
            if gone:
                origin = self._ledger.tree.origin(self._name)
                found = await asyncio.to_thread(
                    inherit, self._archive, self._ledger.tree, origin, gone
                )
                await self._ledger.recovered(found, [])
                self._say.info("archiver.inherited", expired=found[-1].last)
                return await self._ledger.segments()
        return []

    async def declare(self) -> None:
        """Say once, signed, which life of the log this one goes on from, where that one is archived."""
        key = lives.key_of(self._ledger.tree)
        for before, common in (await self._ledger.earlier())[:1]:
            known = await asyncio.to_thread(self._archive.exists, layout.checkpoint(before))
            if known and not await asyncio.to_thread(self._archive.exists, key):
                origins = self._ledger.tree.origin(self._name), before.origin(self._name)
                note = await asyncio.to_thread(lives.declaration, *origins, common, [self._signer])
                await asyncio.to_thread(self._archive.put_new, key, note)
