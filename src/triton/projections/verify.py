"""Owns the proof: fold the log again, and compare every row of both stores with it.

PostgreSQL is read in one snapshot, so projectors may go on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import psycopg
from redis.exceptions import RedisError

from triton.errors import LogForkedError
from triton.events.checks import note_check
from triton.events.log import Checkpoint
from triton.evidence.signed import signed_otherwise
from triton.history import History
from triton.postgres import Connection
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.compare_events import ANALYTICS, HISTORY, EventComparison
from triton.projections.compare_jobs import JOBS, JobComparison
from triton.projections.engines import open_engines
from triton.projections.postgres import PostgresProjection
from triton.projections.refold import decoded
from triton.projections.report import Checked, ParkedEvent, Report
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_PAGE: Final = 2000
_POSTGRES: Final = PostgresProjection.name
_CLICKHOUSE: Final = ClickHouseProjection.name
_PROJECTORS: Final = {JOBS: _POSTGRES, HISTORY: _POSTGRES, ANALYTICS: _CLICKHOUSE}


def verify(settings: Settings) -> Report:
    """Compare both stores with the log, up to their checkpoints.

    Raises UnavailableError, LogForkedError or HoleError where the log is not the one that was projected.
    """
    return asyncio.run(verify_async(settings))


async def verify_async(settings: Settings) -> Report:
    """The same within a running loop. What came of it is noted for `/metrics`."""
    async with open_engines(settings) as (log, connection, clickhouse):
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        async with connection.transaction():
            report = await Verifier(log, connection, clickhouse).run()
        with contextlib.suppress(RedisError):
            await note_check(log.client, log.namespace, "verify", ok=report.ok)
        return report


class Verifier:
    """One comparison. The connection is in a transaction that sees one snapshot."""

    def __init__(self, log: History, connection: Connection, clickhouse: Client) -> None:
        self.report = Report()
        self._log = log
        self._connection = connection
        self._checkpoints: dict[tuple[str, int], Checkpoint] = {}
        parked: set[tuple[str, int, int]] = set()
        self._parked = parked
        self._events = EventComparison(self.report, connection, clickhouse, parked)
        self._jobs = JobComparison(self.report, connection, _POSTGRES, parked)

    async def run(self) -> Report:
        await self._load()
        for partition in range(self._log.partitions):
            await self._partition(partition)
        await self._events.other_partitions(self._log.partitions)
        await self._jobs.strangers()
        return self.report

    async def _load(self) -> None:
        cursor = await self._connection.execute(
            "SELECT projector, partition, epoch, position, digest FROM checkpoints"
        )
        for projector, partition, *rest in await cursor.fetchall():
            self._checkpoints[projector, partition] = Checkpoint(*rest)
        cursor = await self._connection.execute(
            "SELECT projector, partition, position, job, reason FROM parked_events ORDER BY 1, 2, 3"
        )
        for projector, partition, position, job, reason in await cursor.fetchall():
            self._parked.add((projector, partition, position))
            self.report.parked.append(
                ParkedEvent(
                    projector=projector,
                    partition=partition,
                    position=position,
                    job=job,
                    reason=reason,
                )
            )

    async def _partition(self, partition: int) -> None:
        ends = {name: await self._end(name, partition) for name in (_POSTGRES, _CLICKHOUSE)}
        if differs := await signed_otherwise(self._log, self._connection, partition):
            raise LogForkedError(differs, partition=partition)
        log_end = await self._log.position(partition)
        first = await self._log.first_position(partition) or log_end + 1
        if first > 1:
            self.report.notes.append(
                f"positions 1 to {first - 1} of partition {partition} are neither in Redis nor in the "
                "archive: neither they nor jobs that began there were compared"
            )
        after = max(0, first - 1)
        rows = {JOBS: 0, HISTORY: 0, ANALYTICS: 0}
        while after < max(ends.values()):
            until = min(after + _PAGE, max(ends.values()))
            entries = await self._log.range(partition, after, until=until, count=_PAGE)
            found = [(entry.position, decoded(entry)) for entry in entries]
            for table in (HISTORY, ANALYTICS):
                name = _PROJECTORS[table]
                rows[table] += await self._events.compare(
                    table, name, partition, after + 1, min(until, ends[name]), found
                )
            rows[JOBS] += await self._jobs.fold(partition, first, ends[_POSTGRES], found)
            after = until
        rows[JOBS] += await self._jobs.rest()
        await self._events.beyond(
            partition, ends[_POSTGRES], log_end, lambda: self._log.position(partition)
        )
        for table, name in _PROJECTORS.items():
            self.report.checked.append(
                Checked(
                    table=table,
                    partition=partition,
                    position=ends[name],
                    log_position=log_end,
                    rows=rows[table],
                )
            )

    async def _end(self, projector: str, partition: int) -> int:
        """The position of a checkpoint, once it is sure that the log still is the one that was read."""
        checkpoint = self._checkpoints.get((projector, partition))
        if checkpoint is None:
            return 0
        await self._log.validate(partition, checkpoint)
        return checkpoint.position
