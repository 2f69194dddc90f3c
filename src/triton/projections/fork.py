"""Owns finding where a log and what was projected of it part: the last position that both share.

A log that lost its tail (a failover, a cut append-only file) issues positions again with other content. All
before the first difference is shared, so the search goes backwards from the end. The archive is one of those
that know what was there, and what left Redis is read from it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from triton.errors import LogForkedError
from triton.events.envelope import Event
from triton.events.log import Entry
from triton.evidence.layout import Tree
from triton.history import History
from triton.postgres import Connection
from triton.projections.refold import EVENT_FIELDS, comparable, decoded, expected_event
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_PAGE: Final = 1000
_POSTGRES: Final = "postgres"
_CLICKHOUSE: Final = "clickhouse"


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """How one partition's log stands to what was projected of it."""

    partition: int
    #: Of the log as it is now.
    epoch: str
    #: Of what was projected; empty where nothing was.
    projected_epoch: str
    #: The last position that the log, both stores and the archive share.
    common: int
    #: The last position of the log, and the last one that a store, the archive or a signed head knows.
    log_end: int
    projected_end: int
    #: The last one that somebody knows with other content than the log's, or that the log has not got;
    #: `common` where there is none. A store may have read on when the log issued positions again.
    lost_until: int

    @property
    def lost(self) -> int:
        """Positions that were projected or signed and are in the log no more, or with other content."""
        return self.lost_until - self.common

    @property
    def forked(self) -> bool:
        return self.lost > 0 or self.epoch != self.projected_epoch


class Stored(msgspec.Struct, frozen=True):
    """A store's events of a page, and the log's entries that it could not take, by position."""

    events: Mapping[int, Sequence[Any]]
    parked: Mapping[int, bytes]


async def find_fork(
    log: History, connection: Connection, clickhouse: Client, partition: int
) -> Fork | None:
    """None where nothing was projected of the partition.

    Raises LogForkedError where it cannot be told: the log was trimmed beyond what the stores know.
    """
    cursor = await connection.execute(
        "SELECT epoch, position FROM checkpoints WHERE partition = %s ORDER BY position DESC LIMIT 1",
        (partition,),
    )
    checkpoint = await cursor.fetchone()
    if checkpoint is None:
        return None
    ends = {
        _POSTGRES: await _postgres_end(connection, partition),
        _CLICKHOUSE: await _clickhouse_end(connection, clickhouse, partition),
    }
    log_end = await log.position(partition)
    heads = await _heads(log, connection, partition, checkpoint[0])
    shared, seen, differ = [], heads.fits, [0]
    for store, end in ends.items():
        common = await _common(log, connection, clickhouse, store, partition, min(end, log_end))
        if common < end:
            differ.append(end)
        if common < end or end < heads.differs:
            seen = max(seen, common)
        # A store that is behind the fork says nothing of where it is; nor does one that read on behind it.
        shared.append(common if common < end else max(*ends.values(), log_end))
    tree = Tree(log.namespace, partition, checkpoint[0])
    archived = await log.past.archived.last_position(tree)
    if archived:
        common = await _common_with_archive(log, tree, min(archived, log_end))
        seen = max(seen, common)
        if common < archived:
            differ.append(archived)
        shared.append(common if common < archived else max(archived, log_end))
    if heads.fits < heads.signed:
        # Heads are few: between the last that fits and the next, others may have seen more.
        shared.append(seen)
        differ.append(heads.signed)
    known = max(archived, heads.signed, *ends.values())
    common = min(*shared, log_end, known)
    return Fork(
        partition=partition,
        epoch=log.epochs[partition],
        projected_epoch=checkpoint[0],
        common=common,
        log_end=log_end,
        projected_end=known,
        lost_until=max(common, *differ),
    )


class _Heads(NamedTuple):
    """What signed heads tell of a log: the archiver may see an event before any store does."""

    #: The last position that a head was signed for.
    signed: int
    #: The last such one at which the log holds what was signed, and the next one, where it does not.
    fits: int
    differs: float


async def _heads(log: History, connection: Connection, partition: int, epoch: str) -> _Heads:
    cursor = await connection.execute(sql("fork_heads"), {"partition": partition, "epoch": epoch})
    heads = await cursor.fetchall()
    differs: float = math.inf
    for size, digest in heads:
        entry = await log.entry(partition, size)
        if entry is not None and entry.digest() == digest:
            return _Heads(heads[0][0], size, differs)
        differs = size
    return _Heads(heads[0][0] if heads else 0, 0, differs)


async def _postgres_end(connection: Connection, partition: int) -> int:
    return await _number(
        connection,
        "SELECT greatest((SELECT max(position) FROM job_events WHERE partition = %(partition)s),"
        " (SELECT position FROM checkpoints WHERE partition = %(partition)s AND projector = 'postgres'))",
        partition,
    )


async def _clickhouse_end(connection: Connection, clickhouse: Client, partition: int) -> int:
    # A batch may have been inserted without its checkpoint: what is there counts.
    query = "SELECT max(position) FROM job_events WHERE partition = {partition:UInt32}"
    inserted = await asyncio.to_thread(clickhouse.query, query, parameters={"partition": partition})
    checkpoint = await _number(
        connection,
        "SELECT position FROM checkpoints WHERE partition = %(partition)s AND projector = 'clickhouse'",
        partition,
    )
    return max(int(inserted.result_rows[0][0] or 0), checkpoint)


async def _number(connection: Connection, query: str, partition: int) -> int:
    cursor = await connection.execute(query.encode(), {"partition": partition})
    row = await cursor.fetchone()
    return int(row[0] or 0) if row else 0


async def _common_with_archive(log: History, tree: Tree, top: int) -> int:
    """The last position up to `top` at which Redis holds what the archive does; what left Redis is shared."""
    partition = tree.partition
    live = await log.first_live(partition) or top + 1
    while top >= live:
        first = max(live, top - _PAGE + 1)
        common, after = 0, first - 1
        while after < top:
            page = await log.past.archived.page(tree, after, top, None)
            if page is None:
                raise log.hole(partition, after + 1, top)
            entries = await log.live_entries(partition, page.positions)
            for index, entry in enumerate(entries):
                if entry is not None and entry.record() == page.entry(index).record():
                    common = entry.position
            after = page.positions[-1]
        if common:
            return common
        top = first - 1
    return live - 1


async def _common(
    log: History, connection: Connection, clickhouse: Client, store: str, partition: int, top: int
) -> int:
    """The last position up to `top` at which the log holds what the store does."""
    # What is in Redis is compared first: mostly that is all.
    oldest = await log.first_live(partition)
    while top > 0:
        if not 0 < oldest <= top:
            oldest = await log.first_position(partition)
        if oldest > top:
            raise LogForkedError(
                f"partition {partition} begins at {oldest} in Redis, and what {store} knows differs from "
                "it there: where they part was trimmed, so what was lost cannot be told",
                partition=partition,
                position=top,
            )
        first = max(1, oldest, top - _PAGE + 1)
        stored = await _stored(connection, clickhouse, store, partition, first, top)
        entries = await log.range(partition, first - 1, until=top, count=_PAGE)
        for entry in reversed(entries):
            if _same(entry, stored):
                return entry.position
        top = first - 1
    return 0


async def _stored(
    connection: Connection, clickhouse: Client, store: str, partition: int, first: int, last: int
) -> Stored:
    values = {"partition": partition, "first": first, "last": last}
    if store == _POSTGRES:
        cursor = await connection.execute(sql("verify_events"), values)
        rows: Sequence[Sequence[Any]] = await cursor.fetchall()
    else:
        query = sql("verify_events_clickhouse").decode()
        answer = await asyncio.to_thread(clickhouse.query, query, parameters=values)
        rows = answer.result_rows
    cursor = await connection.execute(
        "SELECT position, record FROM parked_events WHERE projector = %s AND partition = %s"
        " AND position BETWEEN %s AND %s",
        (store, partition, first, last),
    )
    parked = {position: bytes(record) for position, record in await cursor.fetchall()}
    return Stored({position: row for position, *row in rows}, parked)


def _same(entry: Entry, stored: Stored) -> bool:
    parked = stored.parked.get(entry.position)
    if parked is not None:
        return parked == entry.record()
    row = stored.events.get(entry.position)
    event = decoded(entry)
    return row is not None and not isinstance(event, str) and equal(event, row)


def equal(event: Event, row: Sequence[Any]) -> bool:
    """Whether a store's row (EVENT_FIELDS) is the event's."""
    expected = expected_event(event)
    return all(
        expected[name] == value
        or (name == "data" and comparable(expected[name]) == comparable(value))
        for name, value in zip(EVENT_FIELDS, row, strict=True)
    )
