"""Owns what a batch does in PostgreSQL: one transaction with the jobs, their history and the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from triton.projections.checkpoint import Connection, Lease
from triton.projections.fold import JobFold, sift
from triton.projections.parking import park
from triton.projections.rows import Poison, Reading
from triton.projections.statements import sql


class _BehindError(Exception):
    """The batch does not begin where a job's row ends; takes the transaction back."""


class PostgresBatch:
    """Rows, and what they become in each table."""

    def __init__(
        self, rows: Sequence[Reading], parked: set[str], refused: Mapping[str, str]
    ) -> None:
        self.rows = rows
        self.jobs_parked_before = len(parked)
        self.fold = JobFold()
        sifted = sift(rows, parked, refused, self.fold.take)
        self.parked: list[Poison] = sifted.parked
        self.events = b"".join([row.line for row in sifted.applied])
        self.patches = self.fold.patches_json() if self.fold.patches else ""
        self.submissions = self.fold.submission_lines()
        self.states = self.fold.state_lines()


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

    def prepare(self, rows: Sequence[Reading]) -> PostgresBatch:
        return PostgresBatch(rows, self._parked, {})

    async def apply(self, lease: Lease, batch: PostgresBatch) -> None:
        """Rows that PostgreSQL refuses are found by halving the batch; the last one left is parked."""
        rows = batch.rows
        if batch.jobs_parked_before != len(self._parked):
            batch = self.prepare(rows)
        try:
            await self._apply(lease, batch)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(rows) == 1:
                reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
                await self._apply(lease, PostgresBatch(rows, self._parked, {rows[0].job: reason}))
                return
            half = len(rows) // 2
            await self.apply(lease, self.prepare(rows[:half]))
            await self.apply(lease, self.prepare(rows[half:]))

    async def _apply(self, lease: Lease, batch: PostgresBatch) -> None:
        """What the tables refuse is known only in the transaction; then the batch is tried again, without
        the jobs that do not stand where their first event expects them, or over those that were born
        before."""
        again = False
        refused: dict[str, str] = {}
        while True:
            try:
                async with lease.connection.transaction():
                    to = await lease.move(batch.rows[-1].entry)
                    if again:
                        await lease.connection.execute(
                            sql("forget"), {"jobs": list(batch.fold.births)}
                        )
                    await _write(lease.connection, batch)
                    await park(lease, batch.parked)
                break
            except _BehindError:
                refused |= await _late(lease.connection, batch.fold)
                batch = PostgresBatch(batch.rows, self._parked, refused)
            except psycopg.errors.UniqueViolation:
                if again:
                    raise
                again = True
        lease.checkpoint = to
        self._parked.update(poison.job for poison in batch.parked)


async def _write(connection: Connection, batch: PostgresBatch) -> None:
    """The largest part goes first: later parts fit into the socket's buffer, so that the next batch can be
    prepared while PostgreSQL works on them.

    Raises _BehindError where a job is not at the version before its first event, UniqueViolation where a
    job is born that is there already.
    """
    if batch.events:
        await _copy(connection, "copy_events", batch.events)
    if batch.patches:
        cursor = await connection.execute(sql("patches"), {"rows": batch.patches})
        if cursor.rowcount != len(batch.fold.patches):
            raise _BehindError
    if batch.submissions:
        await _copy(connection, "copy_submissions", batch.submissions)
        await _copy(connection, "copy_states", batch.states)


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
