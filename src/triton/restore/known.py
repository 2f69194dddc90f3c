"""Owns what is known of a partition's log besides Redis: how far, by whom, and its entries in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol

import msgspec
from psycopg.rows import dict_row

from triton.archive import ArchiveStore
from triton.errors import ConflictError, NotFoundError
from triton.events.entries import Entry
from triton.evidence import layout, notes
from triton.evidence.layout import Tree
from triton.evidence.lineage import Life, last_of, lives_in
from triton.evidence.recovering import Found, segments_unknown
from triton.evidence.rows import segments_of
from triton.history import Past
from triton.postgres import Connection
from triton.restore.entries import entry_of_record, entry_of_row
from triton.restore.statements import sql

_PAGE: Final = 2_000


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """How far a partition's log is known. Positions; 0 for none."""

    partition: int
    #: The life of the log that is known.
    epoch: str
    #: The last position that the archive has, and the last one that the archive or PostgreSQL has.
    archived: int
    end: int
    #: The last position that anybody heard of: a signed head, or a projector's checkpoint.
    heard: int
    #: The last position that a backup has behind the archive, as it was.
    kept: int = 0

    @property
    def exact(self) -> int:
        """The last position whose entry is known as it was."""
        return max(self.archived, self.kept)

    @property
    def remade(self) -> int:
        """Events that are known by PostgreSQL alone: they are made again from its rows."""
        return self.end - self.exact


class Tail(Protocol):
    """The end of a log that was copied as it was."""

    def kept(self, partition: int, epoch: str) -> tuple[int, int]:
        """The first and the last position that it has of a life of the log; (0, 0) for none."""

    def entries(self, partition: int, after: int) -> Iterator[Entry]:
        """Those after a position, in order. Raises EvidenceError."""


class Witness:
    """The archive and PostgreSQL, and a backup's end of the log, asked for one partition of a namespace."""

    def __init__(
        self,
        connection: Connection,
        past: Past,
        archive: ArchiveStore,
        namespace: str,
        partition: int,
        tail: Tail | None = None,
    ) -> None:
        self._tail = tail
        self._connection = connection
        self._past = past
        self._archive = archive
        self._namespace = namespace
        self._lives: list[Life] | None = None
        self._partition = partition

    def tree(self, epoch: str) -> Tree:
        return Tree(self._namespace, self._partition, epoch)

    async def known(self) -> Known:
        """How far the log is known. Raises ConflictError for an archive of a log that PostgreSQL does not
        know, UnavailableError, EvidenceError."""
        epoch = await self._epoch()
        tree = self.tree(epoch)
        archived = await self._archived(tree) if epoch else 0
        kept = self._kept(epoch, archived)
        end = max(archived, kept)
        async for entry in self._rows(end):
            end = entry.position
        return Known(
            partition=self._partition,
            epoch=epoch,
            archived=archived,
            end=end,
            kept=kept,
            heard=max(end, await self._signed(tree), await self._projected(epoch)),
        )

    async def entries(self, known: Known, after: int = 0) -> AsyncIterator[Entry]:
        """All that is known after a position and did not expire, in order: from the archive as it was, then
        from PostgreSQL."""
        tree = self.tree(known.epoch)
        # Of jobs that had ended: what lives keeps its segments.
        after = max(after, await self.expired(known))
        while after < known.archived:
            page = await self._past.archived.page(tree, after, known.archived, _PAGE)
            if page is None:
                raise ConflictError(
                    f"the archive holds partition {self._partition} up to {known.archived}, but not position "
                    f"{after + 1}: without it no job can be told; bring the segment back from another copy"
                )
            for index in range(page.size):
                yield page.entry(index)
            after = page.positions[-1]
        if self._tail is not None and after < known.kept:
            for entry in self._tail.entries(self._partition, after):
                yield entry
                after = entry.position
        async for entry in self._rows(after):
            yield entry

    async def expired(self, known: Known) -> int:
        """The last position that has expired; 0 for none."""
        tree = self.tree(known.epoch)
        return (await self._past.archived.expired(tree)).until if known.epoch else 0

    async def unknown(self, known: Known) -> list[Found]:
        """The segments of the known life that PostgreSQL does not know. Raises EvidenceError."""
        tree = self.tree(known.epoch)
        rows = await segments_of(self._connection, tree) if known.epoch else []
        found = await asyncio.to_thread(segments_unknown, self._archive, tree, rows)
        return [one for one in found if one.last <= known.archived]

    def _kept(self, epoch: str, archived: int) -> int:
        if self._tail is None:
            return 0
        first, last = self._tail.kept(self._partition, epoch)
        return last if last > archived and first <= archived + 1 else 0

    async def _archived(self, tree: Tree) -> int:
        """The last position that is sealed in the archive, whatever PostgreSQL knows of it."""
        found = set(
            await asyncio.to_thread(lambda: list(self._archive.list(layout.segments(tree))))
        )
        bounds = [layout.range_of(key) for key in found if layout.manifest_of(key) in found]
        signed = await self._signed(tree)
        ends = [bound[1] for bound in bounds if bound is not None and bound[1] <= signed]
        return max([*ends, await self._past.archived.last_position(tree)])

    async def lives(self) -> list[Life]:
        """The lives that the archive knows. Raises UnavailableError, EvidenceError."""
        if self._lives is None:
            self._lives = await asyncio.to_thread(
                lives_in, self._archive, self._namespace, self._partition
            )
        return self._lives

    async def _epoch(self) -> str:
        cursor = await self._connection.execute(sql("life"), {"partition": self._partition})
        row = await cursor.fetchone()
        if row is not None:
            return str(row[0])
        lives = await self.lives()
        last = last_of(lives)
        if lives and last is None:
            raise ConflictError(
                f"the archive holds {len(lives)} lives of partition {self._partition}, and neither it nor "
                "PostgreSQL says which is the last: restore PostgreSQL's table log_epochs first"
            )
        return last.tree.epoch if last else ""

    async def _signed(self, tree: Tree) -> int:
        cursor = await self._connection.execute(
            sql("signed"), {"partition": tree.partition, "epoch": tree.epoch}
        )
        row = await cursor.fetchone()
        size = int(row[0] or 0) if row else 0
        if not tree.epoch:
            return size
        with contextlib.suppress(NotFoundError):
            raw = await asyncio.to_thread(self._archive.read, layout.checkpoint(tree))
            size = max(size, notes.parse_head(notes.parse_note(raw).text).size)
        return size

    async def _projected(self, epoch: str) -> int:
        cursor = await self._connection.execute(
            "SELECT max(position) FROM checkpoints WHERE partition = %s AND epoch = %s",
            (self._partition, epoch),
        )
        row = await cursor.fetchone()
        return int(row[0] or 0) if row else 0

    async def _rows(self, after: int) -> AsyncIterator[Entry]:
        """What PostgreSQL has after a position, up to the first one that it does not have."""
        cursor = await self._connection.execute(
            sql("parked"), {"partition": self._partition, "after": after}
        )
        aside = {position: bytes(record) for position, record in await cursor.fetchall()}
        while True:
            async with self._connection.cursor(row_factory=dict_row) as rows:
                values = {"partition": self._partition, "after": after, "limit": _PAGE}
                await rows.execute(sql("rows"), values)
                found = {row["position"]: row for row in await rows.fetchall()}
            before = after
            for _ in range(_PAGE):
                if after + 1 in found:
                    yield entry_of_row(found[after + 1])
                elif after + 1 in aside:
                    yield entry_of_record(self._partition, aside[after + 1])
                else:
                    break
                after += 1
            if after == before:
                return
