"""Owns comparing the jobs in PostgreSQL with the fold of the log.

In memory are only the jobs that have not ended, or that go on later in the log; ended ones are compared and
dropped as the log goes by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg.rows import dict_row

from triton.job import TERMINAL
from triton.postgres import Connection
from triton.projections.compare_events import Found
from triton.projections.refold import JSON_FIELDS, Tracked, comparable, evolved, expected_job
from triton.projections.render import clean_text
from triton.projections.report import Report
from triton.projections.statements import sql

JOBS: Final = "postgres.jobs"
#: Jobs in one query.
_PAGE: Final = 2000


class JobComparison:
    """One partition after the other. `connection` sees one snapshot; `parked` holds (projector, partition,
    position)."""

    def __init__(
        self,
        report: Report,
        connection: Connection,
        projector: str,
        parked: set[tuple[str, int, int]],
    ) -> None:
        self._report = report
        self._connection = connection
        self._projector = projector
        self._parked = parked
        self._live: dict[str, Tracked] = {}

    async def fold(self, partition: int, first: int, end: int, found: Found) -> int:
        """Fold events up to position `end`, and compare the jobs that ended. `first` is the oldest position
        of the log: what began before it is left out. Answers how many jobs were compared."""
        ended = set()
        for position, event in found:
            if position > end or isinstance(event, str) or not event.job:
                continue
            if (self._projector, partition, position) in self._parked:
                continue
            known = self._live.get(event.job)
            if known is None and event.version > 1 and first > 1:
                continue
            try:
                tracked = evolved(known, event)
            except ValueError as error:
                self._report.differ(JOBS, event.job, "event", f"parked: {error}", "not parked")
                continue
            self._live[event.job] = tracked
            if tracked.head.state in TERMINAL:
                ended.add(event.job)
            else:
                ended.discard(event.job)
        return await self._compare(list(ended), last=False)

    async def rest(self) -> int:
        """Compare what is left at the end of a partition. Answers how many jobs that were."""
        return await self._compare(list(self._live), last=True)

    async def strangers(self) -> None:
        """Report rows of jobs that have no history."""
        cursor = await self._connection.execute(sql("verify_strangers"))
        for job, table in await cursor.fetchall():
            self._report.differ(JOBS, job, "row", "no row", f"a row in {table}")

    async def _compare(self, jobs: Sequence[str], *, last: bool) -> int:
        """Compare jobs and drop them. A row ahead of the fold means that the log goes on with that job, as
        long as this is not the `last` comparison."""
        compared = 0
        for start in range(0, len(jobs), _PAGE):
            some = list(jobs[start : start + _PAGE])
            async with self._connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(
                    sql("verify_jobs"), {"jobs": [clean_text(job) for job in some]}
                )
                actual = {row["job"]: row async for row in cursor}
            for job in some:
                row = actual.get(clean_text(job))
                if not last and row and row["position"] > self._live[job].head.position:
                    continue
                compared += 1
                self._differences(job, self._live.pop(job), row)
        return compared

    def _differences(self, job: str, tracked: Tracked, row: dict[str, Any] | None) -> None:
        if row is None:
            self._report.differ(JOBS, job, "row", "one row", "no row")
            return
        for name, wanted in expected_job(tracked).items():
            found = comparable(row[name]) if name in JSON_FIELDS else row[name]
            if wanted != found:
                self._report.differ(JOBS, job, name, wanted, found)
