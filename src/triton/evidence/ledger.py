"""Owns the rows of `segments` and `tree_heads`: what the archiver did, written under its fence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import psycopg

from triton.errors import EvidenceError
from triton.events.log import Checkpoint
from triton.evidence import layout
from triton.evidence.layout import Tree
from triton.evidence.manifest import Manifest
from triton.evidence.notes import TreeHead
from triton.evidence.recovering import Found, Head
from triton.evidence.statements import sql
from triton.projections.checkpoint import Lease

#: The archiver's name in `checkpoints`.
ARCHIVER: Final = "archiver"


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A row of `segments`; what is None is not known before the state is `stored`. Times are microseconds
    since 1970, hashes hex, but for the root's bytes."""

    first: int
    last: int
    state: str
    key: str
    sha256: str | None
    size: int | None
    manifest_sha256: str | None
    root: bytes | None
    first_at: int | None
    last_at: int | None

    @property
    def sealed(self) -> bool:
        return self.state == "sealed"

    @property
    def stored_root(self) -> bytes:
        """The root of the tree up to `last`, of a segment that is stored."""
        assert self.root is not None, "a segment that is stored has a root"
        return self.root


async def segments_of(
    connection: psycopg.AsyncConnection[Any], tree: Tree, *, after: int = 0, limit: int = 100_000
) -> list[Segment]:
    """The tree's segments that end at `after` or later, in order."""
    values = {**_of(tree), "after": after, "limit": limit}
    cursor = await connection.execute(sql("segments"), values)
    return [Segment(*row) for row in await cursor.fetchall()]


async def last_segment(
    connection: psycopg.AsyncConnection[Any], tree: Tree, *, unfinished: bool = False
) -> Segment | None:
    """The tree's last sealed segment; where `unfinished`, also one that is not sealed yet."""
    cursor = await connection.execute(sql("segment_last"), {**_of(tree), "open": unfinished})
    row = await cursor.fetchone()
    return Segment(*row) if row else None


async def lineage(connection: psycopg.AsyncConnection[Any], tree: Tree) -> list[tuple[Tree, int]]:
    """The earlier trees of the same partition, the newest first, each with the last position that it
    shares with this one."""
    cursor = await connection.execute(sql("lineage"), _of(tree))
    return [(tree._replace(epoch=epoch), common) for epoch, common in await cursor.fetchall()]


class Ledger:
    """Reads and writes for one tree. Safe for concurrent tasks; every write is fenced by the lease."""

    def __init__(self, lease: Lease, tree: Tree) -> None:
        self.lease = lease
        self.tree = tree
        # One connection carries one transaction at a time.
        self._lock = asyncio.Lock()

    async def segments(self, *, after: int = 0, limit: int = 100_000) -> list[Segment]:
        async with self._lock:
            return await segments_of(self.lease.connection, self.tree, after=after, limit=limit)

    async def last(self, *, unfinished: bool = False) -> Segment | None:
        async with self._lock:
            return await last_segment(self.lease.connection, self.tree, unfinished=unfinished)

    async def earlier(self) -> list[tuple[Tree, int]]:
        async with self._lock:
            return await lineage(self.lease.connection, self.tree)

    async def segments_of(self, tree: Tree, *, after: int, limit: int = 1) -> list[Segment]:
        """Of an earlier tree."""
        async with self._lock:
            return await segments_of(self.lease.connection, tree, after=after, limit=limit)

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
            await self.lease.fenced("advance", {"to": last, "digest": digest})
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

    async def recovered(self, found: Sequence[Found], heads: Sequence[Head]) -> None:
        """Make the rows of what is in the archive and not here."""
        async with self._fenced():
            for one in found:
                said = one.manifest
                values: dict[str, object] = {
                    "first": one.first,
                    "last": one.last,
                    "state": one.state,
                    "key": one.key,
                    "sha256": said.sha256 if said else None,
                    "size": said.size if said else None,
                    "manifest_sha256": one.manifest_sha256,
                    "first_at": said.first_at if said else None,
                    "last_at": said.last_at if said else None,
                    "root": bytes.fromhex(said.root) if said else None,
                }
                await self._one("segment_recovered", values)
            for head in heads:
                await self._run("head_recovered", msgspec.structs.asdict(head))

    async def trimmed(self, to: int) -> None:
        async with self._fenced():
            await self._run("segment_trimmed", {"to": to})

    async def add_head(self, head: TreeHead, note: bytes) -> None:
        values = {"size": head.size, "root": head.root, "note": note}
        async with self._fenced():
            await self._one("head_add", values)

    async def newest_head(self) -> tuple[bytes, int] | None:
        """The newest signed note, and when it was signed (microseconds since 1970)."""
        async with self._lock:
            cursor = await self._run("head_newest", {})
            row = await cursor.fetchone()
            return (bytes(row[0]), row[1]) if row else None

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

    async def checkpoints(self) -> list[tuple[str, str, int]]:
        """Projector, epoch and position of every checkpoint of the partition."""
        async with self._lock:
            cursor = await self._run("hold_back", {})
            return [tuple(row) for row in await cursor.fetchall()]

    async def renew(self) -> None:
        """Stay the holder. Raises FencedError."""
        async with self._lock:
            await self.lease.renew()

    @asynccontextmanager
    async def _fenced(self) -> AsyncIterator[None]:
        async with self._lock, self.lease.connection.transaction():
            await self.lease.renew()
            yield

    async def _run(self, name: str, values: dict[str, object]) -> psycopg.AsyncCursor[Any]:
        return await self.lease.connection.execute(sql(name), {**_of(self.tree), **values})

    async def _one(self, name: str, values: dict[str, object]) -> None:
        cursor = await self._run(name, values)
        if cursor.rowcount != 1:
            raise EvidenceError(
                f"{name} changed {cursor.rowcount} rows of {self.tree.prefix}, expected one: the tables of "
                "the archiver were changed by somebody else"
            )


def _of(tree: Tree) -> dict[str, object]:
    return {"partition": tree.partition, "epoch": tree.epoch}
