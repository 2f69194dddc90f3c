"""Owns the question which segments of a partition may expire now, and what keeps the others.

A history has one beginning: only the oldest segments go, up to the first one that something keeps.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from triton.archive import ArchiveStore
from triton.audit.outliving import Contents
from triton.audit.rules import DAY
from triton.audit.ruling import holds, retention
from triton.causes import when
from triton.events.envelope import TYPE
from triton.evidence.layout import Tree
from triton.evidence.ledger import ARCHIVER
from triton.evidence.rows import Rows, Segment
from triton.expiry import segment_file
from triton.expiry.statements import sql
from triton.history import History
from triton.postgres import Connection
from triton.projections.lag import PROJECTORS
from triton.projections.postgres import PostgresProjection
from triton.projections.rebuild import shadow as shadows

#: Who makes rows of the events of rules, all in partition 0; how far it may be behind, and what they are.
_RULES_BY: Final = PostgresProjection.name
_RULES_AHEAD: Final = 50_000
_RULES: Final = frozenset({b"hold.placed", b"hold.lifted", b"retention.set"})
_PAGE: Final = 1000


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of a partition's archive; `kept_by` says what keeps it, and is empty where nothing does.
    `bytes` are freed when it goes."""

    partition: int
    epoch: str
    first: int
    last: int
    key: str
    bytes: int
    kept_by: str


class Judge:
    """Of one partition's segments, at a time (microseconds since 1970)."""

    def __init__(
        self,
        log: History,
        connection: Connection,
        archive: ArchiveStore,
        partition: int,
        now: int,
        projectors: tuple[str, ...] = PROJECTORS,
    ) -> None:
        self._log = log
        self._connection = connection
        self._archive = archive
        self._partition = partition
        self._now = now
        self._projectors = projectors
        self.tree = log.tree(partition)

    async def plan(self) -> list[Planned]:
        """For each life of the log the oldest segments that may expire, and the first one that may not; none
        of the lives before that are not wholly behind what has expired of the present one."""
        found = await self._of(self.tree, None)
        present = await Rows(self._connection, self.tree).segments()
        expired = max((one.last for one in present if one.expired), default=0)
        for tree, _ in await Rows(self._connection, self.tree).earlier():
            found += await self._of(tree, expired)
        return found

    async def _of(self, tree: Tree, until: int | None) -> list[Planned]:
        rows = [one for one in await Rows(self._connection, tree).segments() if one.sealed]
        found: list[Planned] = []
        before: Segment | None = None
        for index, one in enumerate(rows):
            if until is not None and one.last > until:
                break
            if not one.expired:
                last = until is None and index == len(rows) - 1
                why = "it is the last one" if last else await self._kept(one, before)
                found.append(_planned(tree, one, why))
                if why:
                    break
            before = one
        return found

    async def _kept(self, one: Segment, before: Segment | None) -> str:
        why = await self.behind(one.last)
        if why or (why := await self._young(one)):
            return why
        read = await asyncio.to_thread(
            segment_file.read, self._archive, self._partition, one, before
        )
        return await self.kept_by(read.contents)

    async def _young(self, one: Segment) -> str:
        """What can be told without reading it: that none of its events' days can be over."""
        days = [rule.days for rule in await retention(self._connection) if rule.days]
        if not days:
            return "nobody said that anything may expire (`triton audit retention set`)"
        until = (one.last_at or 0) + min(days) * DAY
        return f"kept until {when(until)} at least" if until > self._now else ""

    async def behind(self, last: int) -> str:
        """Who has not read up to a position, or may read it again; empty for nobody."""
        first = await self._log.first_live(self._partition)
        if first and first <= last:
            return "its events are still in Redis"
        rows = await Rows(self._connection, self.tree).checkpoints()
        at = {name: position for name, epoch, position in rows if epoch == self.tree.epoch}
        for name in (*self._projectors, *(name for name, _, _ in rows if name != ARCHIVER)):
            if at.get(name, 0) <= last:
                return f"{name} has not read it"
        for name in self._projectors:
            shadow = await shadows.find(self._connection, name)
            if shadow is not None and shadow.state == "filling":
                return f"a rebuild of {name} reads the log"
        return ""

    async def kept_by(self, contents: Contents) -> str:
        """Which rule, hold or living job keeps what a segment holds; empty for none."""
        if why := await self._unread_rule():
            return why
        rules, held = await retention(self._connection), await holds(self._connection)
        why = contents.kept_by(rules, held, self._now)
        if why or not contents.jobs:
            return why
        cursor = await self._connection.execute(sql("living"), {"jobs": sorted(contents.jobs)})
        row = await cursor.fetchone()
        return f"job {row[0]} has not ended" if row else ""

    async def _unread_rule(self) -> str:
        """Whether PostgreSQL, made anew, may lack a rule that the log has; empty where it does not."""
        tree = self._log.tree(0)
        rows = await Rows(self._connection, tree).checkpoints()
        read = max(
            (at for name, epoch, at in rows if (name, epoch) == (_RULES_BY, tree.epoch)), default=0
        )
        end = await self._log.position(0)
        if end - read > _RULES_AHEAD:
            return f"{_RULES_BY} has read partition 0 up to {read} only, of {end}: a rule may be behind"
        while read < end:
            page = await self._log.page(0, read, until=end, count=_PAGE)
            if page is None:
                break
            if not _RULES.isdisjoint(page.columns[TYPE]):
                return f"{_RULES_BY} has not read a rule behind position {read} of partition 0"
            read = page.positions[-1]
        return ""


def _planned(tree: Tree, one: Segment, kept_by: str) -> Planned:
    return Planned(
        partition=tree.partition,
        epoch=tree.epoch,
        first=one.first,
        last=one.last,
        key=one.key,
        bytes=one.size or 0,
        kept_by=kept_by,
    )
