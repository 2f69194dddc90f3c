"""Owns the question how the archive of a log stands: what is sealed, signed, trimmed, and what holds it."""

from __future__ import annotations

import asyncio
import time

import msgspec

from triton.events.client import connect_async
from triton.events.log import Log
from triton.evidence import notes
from triton.evidence.archiver import TRIMS_BY
from triton.evidence.bounds import Bound, Bounds
from triton.evidence.holding import LegalHolds
from triton.evidence.layout import Tree
from triton.evidence.rows import Rows
from triton.evidence.signed import signed_otherwise
from triton.history import log_of
from triton.postgres import connected
from triton.projections.lag import PROJECTORS
from triton.settings import Settings


class ArchiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One partition. Positions: the log ends at `log_end`, begins in Redis at `first_in_redis` (0: nothing is
    there), is sealed up to `sealed` and signed up to `signed` (-1: no head was signed yet)."""

    partition: int
    epoch: str
    log_end: int
    first_in_redis: int
    sealed: int
    signed: int
    #: Sealed segments, their events and their bytes; one that is being sealed.
    segments: int
    events: int
    bytes: int
    sealing: int
    #: The last position that expired, 0 for none: the segments are of what follows.
    expired: int
    #: Since the last segment was sealed, and the last head was signed; None where there is none.
    sealed_seconds_ago: float | None
    signed_seconds_ago: float | None
    #: The newest head's root, in hex.
    root: str
    #: What may leave Redis for each reason, the least first: that one holds the trim back.
    bounds: list[Bound]
    #: Whether a living archiver holds the partition.
    working: bool
    #: Whether these are reckoned with the settings of the archiver, and not with those of who asks.
    declared: bool = False
    #: How the log differs from what was signed; empty where it does not.
    forked: str = ""

    @property
    def unsealed(self) -> int:
        return self.log_end - self.sealed

    @property
    def unsigned(self) -> int:
        return self.log_end - max(0, self.signed)

    @property
    def held_by(self) -> str:
        return self.bounds[0].why


def read_status(settings: Settings) -> list[ArchiveStatus]:
    """Every partition. Raises UnavailableError, RedisError."""
    return asyncio.run(_read(settings))


async def _read(settings: Settings) -> list[ArchiveStatus]:
    async with connect_async(settings.redis_url) as client:
        log = await log_of(client, settings)
        async with connected(settings.database_url) as connection:
            return [
                await _of(
                    log,
                    Rows(connection, Tree(log.namespace, partition, epoch)),
                    settings,
                    await signed_otherwise(log, connection, partition),
                )
                for partition, epoch in enumerate(log.epochs)
            ]


async def _of(log: Log, rows: Rows, settings: Settings, forked: str) -> ArchiveStatus:
    tree = rows.tree
    said = await rows.declared()
    # Settings that this version does not know are left out.
    settings = msgspec.structs.replace(
        settings, **{name: value for name, value in (said or {}).items() if name in TRIMS_BY}
    )
    first = await log.first_position(tree.partition)
    bounds = Bounds(
        log,
        rows,
        projectors=PROJECTORS,
        keep_events=settings.keep_events,
        keep_ms=settings.keep_ms,
        holds=[LegalHolds(log, rows, hold_events=settings.hold_events)],
    )
    segments, events, size, sealing, sealed, sealed_ago, expired = await rows.summary()
    signed = await rows.newest_head()
    head = notes.parse_head(notes.parse_note(signed[0]).text) if signed else None
    return ArchiveStatus(
        partition=tree.partition,
        epoch=tree.epoch,
        log_end=await log.position(tree.partition),
        first_in_redis=first,
        sealed=sealed,
        signed=head.size if head else -1,
        segments=segments,
        events=events,
        bytes=size,
        sealing=sealing,
        expired=expired,
        declared=said is not None,
        sealed_seconds_ago=sealed_ago,
        signed_seconds_ago=max(0.0, time.time() - signed[1] / 1e6) if signed else None,
        root=head.root.hex() if head else "",
        bounds=sorted(await bounds.find(first)),
        working=await rows.working(),
        forked=forked,
    )
