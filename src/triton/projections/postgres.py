"""Owns what a batch does in PostgreSQL: one transaction with the jobs, their history and the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from triton.projections.checkpoint import Connection, Lease
from triton.projections.fold import JobFold, sift
from triton.projections.parking import park
from triton.projections.rows import Reading, Row
from triton.projections.statements import sql


class _BehindError(Exception):
    """The batch does not begin where a job's row ends; takes the transaction back."""


class PostgresProjection:
    """Fills `jobs` (its two tables) and `job_events`."""

    name = "postgres"
    pause = 0.05

    def __init__(self) -> None:
        self._parked: set[str] = set()

    async def open(self, lease: Lease) -> int | None:
        # Times go as text without a zone.
        await lease.connection.execute("SET timezone TO 'UTC'")
        self._parked = await lease.parked_jobs()
        return None

    def close(self) -> None:
        """The connection is the lease's."""

    async def apply(self, lease: Lease, rows: Sequence[Reading]) -> None:
        """Rows that PostgreSQL refuses are found by halving the batch; the last one left is parked."""
        try:
            await self._apply(lease, rows, {})
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(rows) == 1:
                reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
                await self._apply(lease, rows, {rows[0].job: reason})
                return
            half = len(rows) // 2
            await self.apply(lease, rows[:half])
            await self.apply(lease, rows[half:])

    async def _apply(
        self, lease: Lease, rows: Sequence[Reading], refused: Mapping[str, str]
    ) -> None:
        """What the tables refuse is known only in the transaction; then the batch is tried again, without
        the jobs that do not stand where their first event expects them, or over those that were born
        before."""
        again = False
        while True:
            fold = JobFold()
            sifted = sift(rows, self._parked, refused, fold.take)
            try:
                async with lease.connection.transaction():
                    to = await lease.move(rows[-1].entry)
                    if again:
                        await lease.connection.execute(sql("forget"), {"jobs": list(fold.births)})
                    await _write(lease.connection, fold, sifted.applied)
                    await park(lease, sifted.parked)
                break
            except _BehindError:
                refused = {**refused, **await _late(lease.connection, fold)}
            except psycopg.errors.UniqueViolation:
                if again:
                    raise
                again = True
        lease.checkpoint = to
        self._parked.update(poison.job for poison in sifted.parked)


async def _write(connection: Connection, fold: JobFold, rows: Sequence[Row]) -> None:
    """Raises _BehindError where a job is not at the version before its first event, UniqueViolation where
    a job is born that is there already."""
    if fold.patches:
        cursor = await connection.execute(sql("patches"), {"rows": fold.patches_json()})
        if cursor.rowcount != len(fold.patches):
            raise _BehindError
    if fold.births:
        await _copy(connection, "copy_submissions", fold.submission_lines())
        await _copy(connection, "copy_states", fold.state_lines())
    if rows:
        await _copy(connection, "copy_events", b"".join([row.line for row in rows]))


async def _copy(connection: Connection, statement: str, lines: bytes) -> None:
    async with connection.cursor().copy(sql(statement)) as copy:
        await copy.write(lines)


async def _late(connection: Connection, fold: JobFold) -> dict[str, str]:
    """The jobs whose row is not where the batch begins, with the reason."""
    cursor = await connection.execute(
        "SELECT job, version FROM job_states WHERE job = ANY(%s)", (list(fold.patches),)
    )
    found = dict(await cursor.fetchall())
    late = {
        job: f"version {patch['expected'] + 1} of the job follows {found.get(job, 'nothing')}"
        for job, patch in fold.patches.items()
        if found.get(job) != patch["expected"]
    }
    assert late, "every job is where the batch expects it, and yet one was not changed"
    return late
