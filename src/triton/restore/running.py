"""Owns `triton restore` from its begin to its end: what is known, what was lost, and Redis as it was."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import redis.asyncio

from triton.archive import ArchiveStore, open_archive
from triton.errors import ConfigurationError, ConflictError
from triton.events.client import connect_async, server_time
from triton.events.entries import Entry
from triton.events.scripts import Scripts
from triton.evidence.lineage import ancestry
from triton.history import Past, open_past
from triton.postgres import Connection, connected
from triton.projections.engines import open_clickhouse
from triton.projections.losing import LostJob
from triton.restore.declaring import PATIENCE, declare, declared
from triton.restore.jobs import Jobs
from triton.restore.kept import Stay
from triton.restore.known import Known, Tail, Witness
from triton.restore.writing import PartitionWriter
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_NEEDED: Final = ("redis_url", "database_url", "clickhouse_url", "archive_url")

#: Told of a partition, the position that was read, and the last one.
Told = Callable[[int, int, int], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore of a partition would do. Positions, 0 for none; see `Known`."""

    partition: int
    epoch: str
    archived: int
    remade: int
    end: int
    #: The first and last position that somebody heard of and nobody holds; 0 where there is none.
    lost_from: int
    lost_until: int


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a partition."""

    plan: Plan
    #: The new epoch.
    epoch: str
    #: State -> jobs that have a head again.
    jobs: dict[str, int]
    #: The first position of the log in Redis.
    first: int
    #: Jobs that lost events which ClickHouse knew.
    lost_jobs: list[LostJob]
    #: Positions that could not be read, so that their jobs have no head.
    unreadable: list[int]


class Restore:
    """One restore, of all partitions of a namespace."""

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        connection: Connection,
        clickhouse: Client,
        archive: ArchiveStore,
        past: Past,
        tail: Tail | None = None,
    ) -> None:
        self._tail = tail
        self._settings = settings
        self._client = client
        self._connection = connection
        self._clickhouse = clickhouse
        self._archive = archive
        self._past = past
        self._scripts = Scripts()

    async def check_empty(self) -> None:
        """Raises ConflictError where Redis holds a log that is used."""
        for partition in range(self._settings.partitions):
            await self._writer(partition).check_empty()

    async def plan(self) -> list[Plan]:
        """What is known of each partition. Raises ConflictError where Redis is not empty, or where nothing is
        known at all."""
        plans = []
        for partition in range(self._settings.partitions):
            await self._writer(partition).check_empty()
            known = await self._witness(partition).known()
            if known.heard > 0 or known.epoch:
                plans.append(_plan(known))
        if not plans:
            raise ConflictError(
                "neither the archive nor PostgreSQL knows a log of the namespace "
                f"{self._settings.namespace!r}: there "
                "is nothing to restore"
            )
        return plans

    async def run(
        self, *, by: str, reason: str, told: Told | None = None, patience: float = PATIENCE
    ) -> list[Restored]:
        """Restore every partition, and declare a new epoch of each. May be repeated where it was stopped.

        Raises ConflictError, FencedError while a projector holds on to a checkpoint, EvidenceError,
        UnavailableError.
        """
        await self.plan()
        return [
            await self._partition(partition, by, reason, told, patience)
            for partition in range(self._settings.partitions)
        ]

    async def _partition(
        self, partition: int, by: str, reason: str, told: Told | None, patience: float
    ) -> Restored:
        writer, witness = self._writer(partition), self._witness(partition)
        epoch = await writer.reserve(secrets.token_hex(8), self._settings.partitions)
        done = await declared(self._connection, partition, epoch)
        known = await witness.known()
        jobs = await self._fold(witness, known, told)
        first = await self._first(known)
        digests: dict[int, str] = {}
        await writer.clear()
        await writer.write(jobs, first, _kept(witness.entries(known, first - 1), digests))
        lost: list[LostJob] = []
        if not done:
            lost = await declare(
                self._connection,
                self._clickhouse,
                known,
                witness.tree(known.epoch),
                epoch,
                digests,
                unknown=await witness.unknown(known),
                lives=ancestry(await witness.lives(), known.epoch),
                by=by,
                reason=reason,
                patience=patience,
            )
        await writer.end(epoch, _meta(known, jobs, first))
        return Restored(
            plan=_plan(known),
            epoch=epoch,
            jobs=jobs.count(),
            first=first,
            lost_jobs=lost,
            unreadable=jobs.unreadable,
        )

    async def _fold(self, witness: Witness, known: Known, told: Told | None) -> Jobs:
        settings = self._settings
        jobs = Jobs(
            Stay(settings.completed_ttl_ms, settings.result_ms, settings.failed_ttl_ms),
            now=int(await server_time(self._client)),
            expired=await witness.expired(known) > 0,
        )
        async for entry in witness.entries(known):
            jobs.take(entry)
            if told is not None and (entry.position % 1000 == 0 or entry.position == known.end):
                told(known.partition, entry.position, known.end)
        return jobs

    async def _first(self, known: Known) -> int:
        """Where the log in Redis begins: with what a reader has not read, or stands on, and with what is not
        archived."""
        cursor = await self._connection.execute(
            "SELECT min(position) FROM checkpoints WHERE partition = %s AND position > 0",
            (known.partition,),
        )
        row = await cursor.fetchone()
        stands = int(row[0]) if row and row[0] else known.end
        kept = known.end - self._settings.keep_events + 1
        return max(1, min(stands, known.archived, known.end, kept))

    def _writer(self, partition: int) -> PartitionWriter:
        return PartitionWriter(self._client, self._scripts, self._settings.namespace, partition)

    def _witness(self, partition: int) -> Witness:
        namespace = self._settings.namespace
        return Witness(
            self._connection, self._past, self._archive, namespace, partition, self._tail
        )


async def _kept(entries: AsyncIterator[Entry], digests: dict[int, str]) -> AsyncIterator[Entry]:
    async for entry in entries:
        digests[entry.position] = entry.digest()
        yield entry


def _plan(known: Known) -> Plan:
    lost = known.heard > known.end
    return Plan(
        partition=known.partition,
        epoch=known.epoch,
        archived=known.archived,
        remade=known.remade,
        end=known.end,
        lost_from=known.end + 1 if lost else 0,
        lost_until=known.heard if lost else 0,
    )


def _meta(known: Known, jobs: Jobs, first: int) -> dict[str, str | int]:
    fields: dict[str, str | int] = {"pos": known.end, "at": jobs.at}
    if first > 1:
        fields["trimmed"] = first - 1
    if jobs.held:
        fields["held"] = 1
    if any(kept.expires for kept in jobs.kept(first)):
        fields["ttl"] = 1
    return fields


@asynccontextmanager
async def open_restore(settings: Settings, tail: Tail | None = None) -> AsyncIterator[Restore]:
    """What a restore needs; `tail` is a backup's end of the log. Raises ConfigurationError for a missing URL,
    UnavailableError."""
    for name in _NEEDED:
        if not getattr(settings, name):
            raise ConfigurationError(
                f"TRITON_{name.upper()} is empty: a restore needs its engines' URLs", setting=name
            )
    async with (
        open_clickhouse(settings.clickhouse_url) as clickhouse,
        connect_async(settings.redis_url) as client,
        connected(settings.database_url) as connection,
    ):
        archive = open_archive(settings.archive_url)
        yield Restore(settings, client, connection, clickhouse, archive, open_past(settings), tail)
