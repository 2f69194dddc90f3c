"""Owns what a batch does in PostgreSQL: one transaction with the jobs, their history and the checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import psycopg

from triton.projections.checkpoint import Connection, Lease
from triton.projections.fold import JobFold, sift
from triton.projections.parking import park
from triton.projections.projector import BATCH
from triton.projections.rows import Poison, Reading
from triton.projections.statements import sql


class _BehindError(Exception):
    """The batch does not begin where a job's row ends; takes the transaction back."""


class PostgresBatch(msgspec.Struct, frozen=True):
    """Rows, and what they become in each table."""

    rows: Sequence[Reading]
    #: How many jobs were parked when this was prepared.
    jobs_parked: int
    parked: Sequence[Poison]
    fold: JobFold
    events: bytes
    patches: str
    submissions: bytes
    states: bytes


class PostgresProjection:
    """Fills `jobs` (its two tables) and `job_events`."""

    name = "postgres"
    pause = 0.05
    batch = BATCH

    def __init__(self) -> None:
        self._parked: set[str] = set()

    async def open(self, lease: Lease) -> int | None:
        # Times go as text without a zone.
        await lease.connection.execute("SET timezone TO 'UTC'")
        self._parked = await lease.parked_jobs()
        return None

    def close(self) -> None:
        """The connection is the lease's."""

    async def prepare(
        self, rows: Sequence[Reading], refused: Mapping[str, str] | None = None
    ) -> PostgresBatch:
        """`refused` are jobs whose events are to be parked, with the reason."""
        fold = JobFold()
        sifted = sift(rows, self._parked, refused, fold.take)
        await asyncio.sleep(0)
        patches = fold.patches_json() if fold.patches else ""
        await asyncio.sleep(0)
        submissions = fold.submission_lines()
        await asyncio.sleep(0)
        return PostgresBatch(
            rows=rows,
            jobs_parked=len(self._parked),
            parked=sifted.parked,
            fold=fold,
            events=b"".join([row.line for row in sifted.applied]),
            patches=patches,
            submissions=submissions,
            states=fold.state_lines(),
        )

    async def apply(
        self, lease: Lease, batch: PostgresBatch, sent: asyncio.Event | None = None
    ) -> None:
        """Rows that PostgreSQL refuses are found by halving the batch; the last one left is parked."""
        rows = batch.rows
        if batch.jobs_parked != len(self._parked):
            batch = await self.prepare(rows)
        try:
            await self._apply(lease, batch, sent)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            if len(rows) == 1:
                reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
                await self._apply(lease, await self.prepare(rows, {rows[0].job: reason}), sent)
                return
            half = len(rows) // 2
            await self.apply(lease, await self.prepare(rows[:half]))
            await self.apply(lease, await self.prepare(rows[half:]))

    async def _apply(self, lease: Lease, batch: PostgresBatch, sent: asyncio.Event | None) -> None:
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
                    await _write(lease.connection, batch, sent)
                    await park(lease, batch.parked)
                break
            except _BehindError:
                refused |= await _late(lease.connection, batch.fold)
                batch = await self.prepare(batch.rows, refused)
            except psycopg.errors.UniqueViolation:
                if again:
                    raise
                again = True
        lease.checkpoint = to
        self._parked.update(poison.job for poison in batch.parked)


async def _write(connection: Connection, batch: PostgresBatch, sent: asyncio.Event | None) -> None:
    """Raises _BehindError where a job is not at the version before its first event, UniqueViolation where a
    job is born that is there already."""
    if batch.events:
        # By far the largest part: PostgreSQL would idle if this task had to share the processor now. All
        # later parts fit into the socket's buffer.
        await _copy(connection, "copy_events", batch.events)
    if sent is not None:
        sent.set()
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
