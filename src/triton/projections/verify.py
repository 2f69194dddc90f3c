"""Owns the proof: fold the log again, and compare every row of both stores with it.

PostgreSQL is read in one snapshot, so projectors may go on meanwhile. In memory are only the jobs that have
not ended, or that go on later in the log; ended ones are compared and dropped as the log goes by.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from triton.errors import UnavailableError
from triton.events.client import connect_async
from triton.events.envelope import Event
from triton.events.log import Checkpoint, Log
from triton.events.scripts import Scripts
from triton.job import TERMINAL
from triton.projections.checkpoint import Connection
from triton.projections.clickhouse import ClickHouseProjection
from triton.projections.postgres import PostgresProjection
from triton.projections.refold import (
    EVENT_FIELDS,
    JSON_FIELDS,
    Tracked,
    comparable,
    decoded,
    evolved,
    expected_event,
    expected_job,
)
from triton.projections.render import clean_text
from triton.projections.report import Checked, ParkedEvent, Report
from triton.projections.statements import sql
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

JOBS: Final = "postgres.jobs"
HISTORY: Final = "postgres.job_events"
ANALYTICS: Final = "clickhouse.job_events"
_PAGE: Final = 2000
_POSTGRES: Final = PostgresProjection.name
_CLICKHOUSE: Final = ClickHouseProjection.name


def verify(settings: Settings) -> Report:
    """Compare both stores with the log, up to their checkpoints.

    Raises UnavailableError, LogForkedError or HoleError where the log is not the one that was projected.
    """
    return asyncio.run(verify_async(settings))


async def verify_async(settings: Settings) -> Report:
    """The same within a running loop."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        clickhouse = await asyncio.to_thread(
            clickhouse_connect.get_client, dsn=settings.clickhouse_url
        )
        with clickhouse:
            async with (
                connect_async(settings.redis_url) as client,
                await psycopg.AsyncConnection.connect(
                    settings.database_url, autocommit=True, connect_timeout=10
                ) as connection,
            ):
                log = await Log.open(
                    client,
                    Scripts(),
                    settings.namespace,
                    settings.partitions,
                    secrets.token_hex(8),
                )
                await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                await connection.set_read_only(True)
                async with connection.transaction():
                    return await Verifier(log, connection, clickhouse).run()
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL does not answer: {error}; is it running?") from error
    except ClickHouseError as error:
        raise UnavailableError(f"ClickHouse does not answer: {error}; is it running?") from error


class Verifier:
    """One comparison. The connection is in a transaction that sees one snapshot."""

    def __init__(self, log: Log, connection: Connection, clickhouse: Client) -> None:
        self.report = Report()
        self._log = log
        self._connection = connection
        self._clickhouse = clickhouse
        self._checkpoints: dict[tuple[str, int], Checkpoint] = {}
        self._parked: set[tuple[str, int, int]] = set()
        self._live: dict[str, Tracked] = {}
        self._ended: set[str] = set()

    async def run(self) -> Report:
        await self._load()
        for partition in range(self._log.partitions):
            await self._partition(partition)
        await self._strangers()
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
        ends = {}
        for projector in (_POSTGRES, _CLICKHOUSE):
            checkpoint = self._checkpoints.get((projector, partition))
            if checkpoint is not None:
                await self._log.validate(partition, checkpoint)
            ends[projector] = checkpoint.position if checkpoint else 0
        log_end = await self._log.position(partition)
        first = await self._log.first_position(partition)
        if first > 1:
            self.report.notes.append(
                f"positions 1 to {first - 1} of partition {partition} are no longer in Redis: "
                "neither they nor jobs that began there were compared"
            )
        after = max(0, first - 1)
        rows = {JOBS: 0, HISTORY: 0, ANALYTICS: 0}
        end = max(ends.values())
        while after < end:
            until = min(after + _PAGE, end)
            entries = await self._log.range(partition, after, until=until, count=_PAGE)
            found = [(entry.position, decoded(entry)) for entry in entries]
            for table, projector in ((HISTORY, _POSTGRES), (ANALYTICS, _CLICKHOUSE)):
                rows[table] += await self._compare_events(
                    table, projector, partition, after + 1, min(until, ends[projector]), found
                )
            rows[JOBS] += await self._fold(partition, first, ends[_POSTGRES], found)
            after = until
        rows[JOBS] += await self._compare_jobs(list(self._live), last=True)
        await self._beyond(partition, ends[_POSTGRES], log_end)
        for table, projector in (
            (JOBS, _POSTGRES),
            (HISTORY, _POSTGRES),
            (ANALYTICS, _CLICKHOUSE),
        ):
            self.report.checked.append(
                Checked(
                    table=table,
                    partition=partition,
                    position=ends[projector],
                    log_position=log_end,
                    rows=rows[table],
                )
            )

    async def _compare_events(
        self,
        table: str,
        projector: str,
        partition: int,
        first: int,
        last: int,
        found: Sequence[tuple[int, Event | str]],
    ) -> int:
        if first > last:
            return 0
        actual = await self._events(table, partition, first, last)
        compared = 0
        for position, event in found:
            key = f"{partition}:{position}"
            if position > last or (projector, partition, position) in self._parked:
                continue
            if isinstance(event, str):
                self.report.differ(table, key, "event", f"parked: {event}", "not parked")
                continue
            compared += 1
            rows = actual.pop(position, [])
            if len(rows) != 1:
                self.report.differ(table, key, "row", "one row", f"{len(rows)} rows")
                continue
            expected = expected_event(event)
            for name, value in zip(EVENT_FIELDS, rows[0], strict=True):
                wanted = expected[name]
                if wanted != value and not (
                    name == "data" and comparable(wanted) == comparable(value)
                ):
                    self.report.differ(table, key, name, wanted, value)
        for position in actual:
            self.report.differ(table, f"{partition}:{position}", "row", "no row", "a row")
        return compared

    async def _events(
        self, table: str, partition: int, first: int, last: int
    ) -> dict[int, list[Sequence[Any]]]:
        values = {"partition": partition, "first": first, "last": last}
        rows: Sequence[Sequence[Any]]
        if table == ANALYTICS:
            query = sql("verify_events_clickhouse").decode()
            answer = await asyncio.to_thread(self._clickhouse.query, query, parameters=values)
            rows = answer.result_rows
        else:
            rows = await (await self._connection.execute(sql("verify_events"), values)).fetchall()
        found: dict[int, list[Sequence[Any]]] = {}
        for position, *rest in rows:
            found.setdefault(position, []).append(rest)
        return found

    async def _fold(
        self, partition: int, first: int, end: int, found: Sequence[tuple[int, Event | str]]
    ) -> int:
        """Fold a page into the live jobs, and compare those that ended. Answers how many were."""
        for position, event in found:
            if position > end or isinstance(event, str):
                continue
            if (_POSTGRES, partition, position) in self._parked:
                continue
            known = self._live.get(event.job)
            if known is None and event.version > 1 and first > 1:
                continue  # began before what Redis still has
            try:
                tracked = evolved(known, event)
            except ValueError as error:
                self.report.differ(
                    JOBS, event.job, "event", f"parked or applied at {position}", str(error)
                )
                continue
            self._live[event.job] = tracked
            if tracked.head.state in TERMINAL:
                self._ended.add(event.job)
            else:
                self._ended.discard(event.job)
        ended, self._ended = list(self._ended), set()
        return await self._compare_jobs(ended, last=False)

    async def _compare_jobs(self, jobs: Sequence[str], *, last: bool) -> int:
        """Compare jobs and drop them. A row ahead of the fold means that the log goes on with that job, as
        long as this is not the `last` comparison. Answers how many were compared."""
        compared = 0
        for start in range(0, len(jobs), _PAGE):
            some = list(jobs[start : start + _PAGE])
            async with self._connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(sql("verify_jobs"), {"jobs": some})
                actual = {row["job"]: row async for row in cursor}
            for job in some:
                row = actual.get(clean_text(job))
                if not last and row and row["position"] > self._live[job].head.position:
                    continue
                compared += 1
                self._compare_job(job, self._live.pop(job), row)
        return compared

    def _compare_job(self, job: str, tracked: Tracked, row: dict[str, Any] | None) -> None:
        if row is None:
            self.report.differ(JOBS, job, "row", "one row", "no row")
            return
        for name, wanted in expected_job(tracked).items():
            found = comparable(row[name]) if name in JSON_FIELDS else row[name]
            if wanted != found:
                self.report.differ(JOBS, job, name, wanted, found)

    async def _beyond(self, partition: int, end: int, log_end: int) -> None:
        """Rows after the checkpoint (PostgreSQL), or after the log's end (ClickHouse, where a batch may be
        on its way)."""
        cursor = await self._connection.execute(
            "SELECT position FROM job_events WHERE partition = %s AND position > %s LIMIT 1000",
            (partition, end),
        )
        for (position,) in await cursor.fetchall():
            self.report.differ(HISTORY, f"{partition}:{position}", "row", "no row", "a row")
        answer = await asyncio.to_thread(
            self._clickhouse.query,
            "SELECT DISTINCT position FROM job_events WHERE partition = {partition:UInt32}"
            " AND position > {end:UInt64} LIMIT 1000",
            parameters={"partition": partition, "end": log_end},
        )
        for (position,) in answer.result_rows:
            self.report.differ(ANALYTICS, f"{partition}:{position}", "row", "no row", "a row")

    async def _strangers(self) -> None:
        """Rows of jobs and partitions that the log does not know."""
        cursor = await self._connection.execute(sql("verify_strangers"))
        for job, table in await cursor.fetchall():
            self.report.differ(JOBS, job, "row", "no row", f"a row in {table}")
        partitions = self._log.partitions
        cursor = await self._connection.execute(
            "SELECT partition, count(*) FROM job_events WHERE partition >= %s GROUP BY 1 ORDER BY 1",
            (partitions,),
        )
        for partition, count in await cursor.fetchall():
            self.report.differ(HISTORY, f"{partition}:*", "row", "no row", f"{count} rows")
        answer = await asyncio.to_thread(
            self._clickhouse.query,
            "SELECT partition, count() FROM job_events WHERE partition >= {n:UInt32} GROUP BY 1",
            parameters={"n": partitions},
        )
        for partition, count in answer.result_rows:
            self.report.differ(ANALYTICS, f"{partition}:*", "row", "no row", f"{count} rows")
