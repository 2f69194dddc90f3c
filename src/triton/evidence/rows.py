"""Owns reading `segments` and `tree_heads`: what was archived and signed of a tree."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

import msgspec
import psycopg

from triton.evidence.layout import Tree
from triton.evidence.statements import sql

#: A legal hold: its name, its scope, and of what.
HoldRow: TypeAlias = tuple[str, str, str]


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
    #: Its bytes are gone, or go: manifest, tiles and leaf hashes stay.
    expired: bool = False

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


class Rows:
    """What PostgreSQL knows of one tree. Safe for concurrent tasks."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], tree: Tree) -> None:
        self.tree = tree
        self._connection = connection
        # One connection carries one transaction at a time.
        self._lock = asyncio.Lock()

    async def segments(self, *, after: int = 0, limit: int = 100_000) -> list[Segment]:
        async with self._lock:
            return await segments_of(self._connection, self.tree, after=after, limit=limit)

    async def last(self, *, unfinished: bool = False) -> Segment | None:
        async with self._lock:
            return await last_segment(self._connection, self.tree, unfinished=unfinished)

    async def earlier(self) -> list[tuple[Tree, int]]:
        async with self._lock:
            return await lineage(self._connection, self.tree)

    async def segments_of(self, tree: Tree, *, after: int, limit: int = 1) -> list[Segment]:
        """Of an earlier tree."""
        async with self._lock:
            return await segments_of(self._connection, tree, after=after, limit=limit)

    async def newest_head(self) -> tuple[bytes, int] | None:
        """The newest signed note, and when it was signed (microseconds since 1970)."""
        async with self._lock:
            cursor = await self._run("head_newest", {})
            row = await cursor.fetchone()
            return (bytes(row[0]), row[1]) if row else None

    async def summary(self) -> tuple[int, int, int, int, int, float | None, int]:
        """Sealed segments that did not expire, their events, their bytes; unsealed ones; the last sealed
        position, and seconds since it was sealed; the last position that expired."""
        async with self._lock:
            cursor = await self._run("status", {})
            row: Any = await cursor.fetchone()
            return tuple(row)

    async def declared(self) -> dict[str, int] | None:
        """The settings by which the partition's archiver trims, as it said last; None where none did."""
        async with self._lock:
            cursor = await self._run("declared", {})
            row = await cursor.fetchone()
            return row[0] if row else None

    async def working(self) -> bool:
        """Whether a living process archives the partition now."""
        async with self._lock:
            cursor = await self._run("working", {})
            row = await cursor.fetchone()
            return bool(row and row[0])

    async def checkpoints(self) -> list[tuple[str, str, int]]:
        """Projector, epoch and position of every checkpoint of the partition."""
        async with self._lock:
            cursor = await self._run("hold_back", {})
            return [tuple(row) for row in await cursor.fetchall()]

    async def holds(self) -> list[HoldRow]:
        """The legal holds, the oldest first."""
        async with self._lock:
            cursor = await self._run("holds", {})
            return [tuple(row) for row in await cursor.fetchall()]

    async def _run(self, name: str, values: dict[str, object]) -> psycopg.AsyncCursor[Any]:
        return await self._connection.execute(sql(name), {**_of(self.tree), **values})


def _of(tree: Tree) -> dict[str, object]:
    return {"partition": tree.partition, "epoch": tree.epoch}
