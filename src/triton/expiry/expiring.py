"""Owns letting segments expire, step by step: each step is recorded, and each may be repeated.

intended -> declared (its leaf hashes are in the archive, an event of the log says that it goes) -> removing
(that event is sealed and was read back, and nothing keeps the segment) -> expired (its file is gone).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from triton.archive import ArchiveStore
from triton.audit.noting import note
from triton.errors import EvidenceError
from triton.events.client import server_time
from triton.events.scripts import Scripts
from triton.events.types import SegmentExpired
from triton.evidence.layout import Tree
from triton.evidence.rows import Rows, Segment
from triton.expiry import segment_file
from triton.expiry.planning import Judge, Planned
from triton.expiry.statements import sql
from triton.history import History
from triton.observe.logger import get_logger
from triton.postgres import Connection
from triton.projections.lag import PROJECTORS

REASON = "all of its events outlived their retention"


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A row of `expiries` that is not ended."""

    epoch: str
    first: int
    last: int
    state: str
    reason: str
    #: Life and position of the event that says it; empty and 0 before.
    declared_epoch: str
    declared_at: int


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How far a segment's expiry is: `state` as in `expiries`, the position of its event (0 before there is
    one), and what it waits for."""

    partition: int
    epoch: str
    first: int
    last: int
    state: str
    position: int = 0
    waits_for: str = ""


class Expirer:
    """Of all partitions of a log, on a connection of its own. `by` is who lets expire."""

    def __init__(
        self,
        log: History,
        connection: Connection,
        archive: ArchiveStore,
        scripts: Scripts,
        *,
        by: str = "system",
        projectors: tuple[str, ...] = PROJECTORS,
    ) -> None:
        self._log = log
        self._connection = connection
        self._archive = archive
        self._scripts = scripts
        self._by = by
        self._projectors = projectors

    async def plan(self, partition: int, *, now: int | None = None) -> list[Planned]:
        """What may expire, and what keeps the next one. Raises UnavailableError, EvidenceError."""
        return await (await self._judge(partition, now)).plan()

    async def step(self, partition: int, *, now: int | None = None) -> list[Done]:
        """Everything there is to do now in a partition: go on with what was begun, then begin with what may
        expire. None while another process does that. `now`: microseconds since 1970, default the server's.

        Raises EvidenceError where the archive is not what was sealed, UnavailableError, HoleError.
        """
        async with self._alone(partition) as alone:
            if not alone:
                return []
            judge = await self._judge(partition, now)
            for planned in await judge.plan():
                if not planned.kept_by:
                    await self._intend(planned)
            values = {"partition": partition, "epoch": judge.tree.epoch}
            cursor = await self._connection.execute(sql("begun"), values)
            begun = [Begun(*row) for row in await cursor.fetchall()]
            return [await self._advance(judge, one) for one in begun]

    async def _judge(self, partition: int, now: int | None) -> Judge:
        at = int(await server_time(self._log.client)) if now is None else now
        return Judge(self._log, self._connection, self._archive, partition, at, self._projectors)

    async def _intend(self, planned: Planned) -> None:
        values = {"epoch": planned.epoch, "first": planned.first, "last": planned.last}
        await self._connection.execute(
            sql("intend"),
            {
                **values,
                "partition": planned.partition,
                "key": planned.key,
                "reason": REASON,
                "by": self._by,
            },
        )

    async def _advance(self, judge: Judge, one: Begun) -> Done:
        tree = Tree(judge.tree.namespace, judge.tree.partition, one.epoch)
        segment, before = await self._rows(tree, one.first)
        if one.state == "intended" or (
            one.state == "declared" and one.declared_epoch != judge.tree.epoch
        ):
            one, why = await self._declare(judge, tree, one, segment, before)
            if why:
                return _done(tree, one, waits_for=why)
        if one.state == "declared":
            why = await self._let_go(judge, tree, one, segment, before)
            if why:
                return _done(tree, one, waits_for=why)
            one = msgspec.structs.replace(one, state="removing")
        await asyncio.to_thread(segment_file.remove, self._archive, segment, before)
        await self._write("gone", tree, one)
        get_logger("triton.archiver").info(
            "archiver.expired",
            partition=tree.partition,
            epoch=tree.epoch,
            first=one.first,
            last=one.last,
            declared_at=one.declared_at,
        )
        return _done(tree, msgspec.structs.replace(one, state="expired"))

    async def _declare(
        self, judge: Judge, tree: Tree, one: Begun, segment: Segment, before: Segment | None
    ) -> tuple[Begun, str]:
        """Put the hashes that stay, and append the event; else say what keeps the segment."""
        read = await asyncio.to_thread(
            segment_file.read, self._archive, tree.partition, segment, before
        )
        why = await judge.kept_by(read.contents)
        if why:
            await self._write("cancel", tree, one)
            return one, why
        leaves = await asyncio.to_thread(
            segment_file.keep_leaves, self._archive, segment, read.leaves
        )
        said = _event(tree, segment, leaves, one.reason)
        position = await note(
            self._log.client,
            self._scripts,
            self._log.namespace,
            said,
            # Of the life that it is in: what an earlier one remembers was perhaps lost with its tail.
            op=f"expire:{judge.tree.epoch}:{one.epoch}:{one.first}",
            by=self._by,
            partition=tree.partition,
        )
        values = {"in": judge.tree.epoch, "at": position}
        await self._write("declared", tree, one, **values)
        said_at = {"declared_epoch": judge.tree.epoch, "declared_at": position}
        return msgspec.structs.replace(one, state="declared", **said_at), ""

    async def _let_go(
        self, judge: Judge, tree: Tree, one: Begun, segment: Segment, before: Segment | None
    ) -> str:
        """Move on to removing; else what it waits for."""
        sealed = await Rows(self._connection, judge.tree).last()
        if sealed is None or sealed.last < one.declared_at:
            return f"its event at position {one.declared_at} is not sealed yet"
        await self._check_event(judge, tree, one, segment)
        read = await asyncio.to_thread(
            segment_file.read, self._archive, tree.partition, segment, before
        )
        async with self._connection.transaction():
            await self._connection.execute(sql("rules_lock"))
            why = await judge.behind(one.last) or await judge.kept_by(read.contents)
            if why:
                return why
            cursor = await self._write("unreadable", tree, one)
            if cursor.rowcount != 1:
                return "an older segment is not gone yet"
            await self._write("removing", tree, one)
        return ""

    async def _check_event(self, judge: Judge, tree: Tree, one: Begun, segment: Segment) -> None:
        """The event must be in the archive, as it was written: read it back."""
        at = one.declared_at
        page = await self._log.past.archived.page(judge.tree, at - 1, at, 1)
        said = page.entry(0).event().data if page is not None else None
        if not (
            isinstance(said, SegmentExpired)
            and (said.epoch, said.key, said.sha256) == (tree.epoch, segment.key, segment.sha256)
        ):
            raise EvidenceError(
                f"Position {at} of partition {tree.partition} does not say that {segment.key} expires: "
                "nothing of it was removed. Run `triton audit verify`.",
                position=at,
            )

    async def _rows(self, tree: Tree, first: int) -> tuple[Segment, Segment | None]:
        """A segment, and the one before it."""
        rows = await Rows(self._connection, tree).segments(after=max(1, first - 1), limit=2)
        found = next((one for one in rows if one.first == first), None)
        if found is None:
            raise EvidenceError(
                f"The segment of {tree.prefix} from {first} on, which expires, has no row in PostgreSQL",
                position=first,
            )
        return found, rows[0] if rows[0].last == first - 1 else None

    async def _write(self, statement: str, tree: Tree, one: Begun, **values: Any) -> Any:
        place = {"partition": tree.partition, "epoch": tree.epoch, "first": one.first}
        return await self._connection.execute(sql(statement), {**place, **values})

    @asynccontextmanager
    async def _alone(self, partition: int) -> AsyncIterator[bool]:
        values = {"partition": partition}
        cursor = await self._connection.execute(sql("try_lock"), values)
        row = await cursor.fetchone()
        alone = bool(row and row[0])
        try:
            yield alone
        finally:
            if alone and not self._connection.closed:
                await self._connection.execute(sql("unlock"), values)


def _event(tree: Tree, segment: Segment, leaves: str, reason: str) -> SegmentExpired:
    return SegmentExpired(
        partition=tree.partition,
        epoch=tree.epoch,
        first=segment.first,
        last=segment.last,
        key=segment.key,
        sha256=segment.sha256 or "",
        root=segment.stored_root.hex(),
        events=segment.last - segment.first + 1,
        manifest=segment.manifest_sha256 or "",
        leaves=leaves,
        reason=reason,
    )


def _done(tree: Tree, one: Begun, *, waits_for: str = "") -> Done:
    return Done(
        partition=tree.partition,
        epoch=tree.epoch,
        first=one.first,
        last=one.last,
        state=one.state,
        position=one.declared_at,
        waits_for=waits_for,
    )
