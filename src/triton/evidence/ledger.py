"""Owns the rows of `segments` and `tree_heads`: what the archiver did, written under its fence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from triton.checkpoints.lease import Lease
from triton.errors import EvidenceError
from triton.events.log import Checkpoint
from triton.evidence import layout
from triton.evidence.layout import Tree
from triton.evidence.lineage import Life, write_lives
from triton.evidence.manifest import Manifest
from triton.evidence.notes import TreeHead
from triton.evidence.recovering import Found, Head, write_recovered
from triton.evidence.rows import Rows, Segment

#: The archiver's name in `checkpoints`.
ARCHIVER: Final = "archiver"


class Ledger(Rows):
    """Reads and writes for one tree; every write is fenced by the lease."""

    def __init__(self, lease: Lease, tree: Tree) -> None:
        super().__init__(lease.connection, tree)
        self.lease = lease

    async def fix(self, first: int, last: int) -> Segment:
        """Begin a segment: from here on its range is what it is."""
        key = layout.segment(self.tree, first, last)
        values = {"first": first, "last": last, "key": key}
        async with self._fenced():
            await self._one("segment_fix", values)
        return Segment(first, last, "sealing", key, *(None,) * 6)

    async def stored(self, manifest: Manifest, manifest_sha256: str) -> None:
        values = {
            "first": manifest.first_position,
            "sha256": manifest.sha256,
            "size": manifest.size,
            "manifest_sha256": manifest_sha256,
            "first_at": manifest.first_at,
            "last_at": manifest.last_at,
            "root": bytes.fromhex(manifest.root),
        }
        async with self._fenced():
            await self._one("segment_stored", values)

    async def sealed(self, first: int, last: int, digest: str) -> None:
        """End a segment, and move the checkpoint to its last entry, whose digest it is."""
        async with self._fenced():
            await self._one("segment_sealed", {"first": first})
            await self.lease.advance(last, digest)
        self.lease.checkpoint = Checkpoint(self.tree.epoch, last, digest)

    async def place(self, position: int, digest: str) -> None:
        """Put the checkpoint where the tree's segments end: a new tree begins at 0."""
        async with self._fenced():
            await self._one(
                "place",
                {
                    "projector": self.lease.projector,
                    "fence": self.lease.fence,
                    "to": position,
                    "digest": digest,
                },
            )
        self.lease.checkpoint = Checkpoint(self.tree.epoch, position, digest)

    async def declare(self, settings: Mapping[str, int]) -> None:
        """Say by which settings this archiver trims, for who asks from elsewhere."""
        values = {
            "projector": self.lease.projector,
            "fence": self.lease.fence,
            "about": msgspec.json.encode(settings).decode(),
        }
        async with self._fenced():
            await self._one("declare", values)

    async def recovered(
        self, found: Sequence[Found], heads: Sequence[Head], *, of: Tree | None = None
    ) -> None:
        """Make the rows of what is in the archive and not here; `of`: an earlier tree."""
        async with self._fenced():
            await write_recovered(self.lease.connection, of or self.tree, found, heads)

    async def lived(self, chain: Sequence[Life]) -> None:
        """Make the rows of this log's lives, the oldest first."""
        async with self._fenced():
            await write_lives(self.lease.connection, chain)

    async def trimmed(self, to: int) -> None:
        async with self._fenced():
            await self._run("segment_trimmed", {"to": to})

    async def add_head(self, head: TreeHead, note: bytes, digest: str) -> None:
        """`digest`: of the last entry that the head covers."""
        values = {"size": head.size, "root": head.root, "note": note, "digest": digest}
        async with self._fenced():
            await self._one("head_add", values)

    async def gather_heads(self) -> list[tuple[str, Sequence[bytes]]]:
        """The objects of heads that are not in the archive yet, the newest heads included: key and notes."""
        async with self._fenced():
            await self._run("heads_gather", {"key": layout.heads_prefix(self.tree)})
            cursor = await self._run("heads_gathered", {})
            return [
                (key, [bytes(note) for note in notes]) for key, notes in await cursor.fetchall()
            ]

    async def heads_stored(self, key: str) -> None:
        async with self._fenced():
            await self._run("heads_stored", {"key": key})
            await self._run("heads_forget", {})

    async def renew(self) -> None:
        """Stay the holder. Raises FencedError."""
        async with self._lock:
            await self.lease.renew()

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[None]:
        async with self._lock, self._connection.transaction():
            await self.lease.renew()
            yield

    async def _one(self, name: str, values: dict[str, object]) -> None:
        cursor = await self._run(name, values)
        if cursor.rowcount != 1:
            raise EvidenceError(
                f"{name} changed {cursor.rowcount} rows of {self.tree.prefix}, expected one: the tables of "
                "the archiver were changed by somebody else"
            )
