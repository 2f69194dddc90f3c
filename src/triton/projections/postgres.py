"""Owns what a batch does in PostgreSQL: one transaction with the jobs, their history and the checkpoint."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterable, Mapping, Sequence
from typing import Final

import msgspec
import psycopg

from triton.checkpoints.lease import Lease
from triton.postgres import Connection
from triton.projections.copying import Copier
from triton.projections.fold import JobFold, Sifter, poisons
from triton.projections.lines import escaped_json, fields_of, lines_of
from triton.projections.parking import park, parked_jobs
from triton.projections.rows import Piece, Poison, Rows, again
from triton.projections.statements import sql

#: Bytes of a batch on its way to PostgreSQL.
_ROOM: Final = 4 << 20


class _BehindError(Exception):
    """The batch does not begin where a job's row ends; takes the transaction back."""


class PostgresBatch(msgspec.Struct, frozen=True):
    """What was read, and what it becomes in each table."""

    pieces: Sequence[Piece]
    #: How many jobs were parked when this was prepared.
    jobs_parked: int
    parked: Sequence[Poison]
    fold: JobFold
    events: Sequence[bytes]
    patches: str
    submissions: Sequence[bytes]
    states: Sequence[bytes]


class PostgresProjection:
    """Fills `jobs` (its two tables) and `job_events`."""

    name = "postgres"
    pause = 0.05
    batch = 20_000

    form = staticmethod(escaped_json)

    def __init__(self) -> None:
        self._parked: set[str] = set()
        self._copier = Copier()

    async def open(self, lease: Lease) -> int | None:
        _make_room(lease.connection)
        await self._copier.open(lease.connection)
        # Times go as text without a zone.
        await lease.connection.execute("SET timezone TO 'UTC'")
        self._parked = await parked_jobs(lease)
        return None

    def close(self) -> None:
        """The connection is the lease's."""

    async def prepare(
        self, pieces: AsyncIterable[Piece], refused: Mapping[str, str] | None = None
    ) -> PostgresBatch:
        """`refused` are jobs whose events are to be parked, with the reason."""
        sifter = Sifter(self._parked, refused)
        fold = JobFold()
        parked: list[Poison] = []
        events = []
        read: list[Piece] = []
        async for piece in pieces:
            read.append(piece)
            rows = sifter.sift(piece)
            if rows is None:
                continue
            await asyncio.sleep(0)
            fields = fields_of(rows)
            reasons = fold.take(rows, fields)
            if reasons:
                parked += poisons(rows, reasons)
                fields = [line for index, line in enumerate(fields) if index not in reasons]
            if fields:
                events.append(lines_of(rows.page.partition, fields))
        await asyncio.sleep(0)
        patches = fold.patches_json() if fold.patches else ""
        await asyncio.sleep(0)
        births = []
        for lines in fold.birth_lines(read[0].last.partition):
            births.append(lines)
            await asyncio.sleep(0)
        return PostgresBatch(
            pieces=read,
            jobs_parked=len(self._parked),
            parked=sifter.parked + parked,
            fold=fold,
            events=events,
            patches=patches,
            submissions=[submission for submission, _ in births],
            states=[state for _, state in births],
        )

    async def apply(self, lease: Lease, batch: PostgresBatch) -> None:
        """Rows that PostgreSQL refuses are found by halving the batch; the last one left is parked."""
        pieces = batch.pieces
        if batch.jobs_parked != len(self._parked):
            batch = await self.prepare(again(pieces))
        try:
            await self._apply(lease, batch)
        except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
            halves = _halves(pieces)
            if halves is None:
                (job,) = pieces[0].jobs() if isinstance(pieces[0], Rows) else (pieces[0].job,)
                reason = f"PostgreSQL refuses it: {error.diag.message_primary}"
                await self._apply(lease, await self.prepare(again(pieces), {job: reason}))
                return
            for half in halves:
                await self.apply(lease, await self.prepare(again(half)))

    async def _apply(self, lease: Lease, batch: PostgresBatch) -> None:
        """What the tables refuse is known only in the transaction; then the batch is tried again, without
        the jobs that do not stand where their first event expects them, or over those that were born
        before."""
        reborn = False
        refused: dict[str, str] = {}
        while True:
            try:
                async with lease.connection.transaction():
                    to = await lease.move(batch.pieces[-1].last)
                    if reborn:
                        await lease.connection.execute(
                            sql("forget"), {"jobs": list(batch.fold.births)}
                        )
                    await self._write(lease.connection, batch)
                    await park(lease, batch.parked)
                break
            except _BehindError:
                refused |= await _late(lease.connection, batch.fold)
                batch = await self.prepare(again(batch.pieces), refused)
            except psycopg.errors.UniqueViolation:
                if reborn:
                    raise
                reborn = True
        lease.checkpoint = to
        self._parked.update(poison.job for poison in batch.parked)

    async def _write(self, connection: Connection, batch: PostgresBatch) -> None:
        """Raises _BehindError where a job is not at the version before its first event, UniqueViolation where
        a job is born that is there already."""
        if batch.events:
            await self._copier.copy(connection, "copy_events", batch.events)
        if batch.patches:
            cursor = await connection.execute(sql("patches"), {"rows": batch.patches})
            if cursor.rowcount != len(batch.fold.patches):
                raise _BehindError
        if batch.submissions:
            await self._copier.copy(connection, "copy_submissions", batch.submissions)
            await self._copier.copy(connection, "copy_states", batch.states)
        if batch.fold.rules:
            partition = batch.pieces[0].last.partition
            values = {"partition": partition, "positions": batch.fold.rules}
            await connection.execute(sql("rules"), values)


def _make_room(connection: Connection) -> None:
    """Let the kernel hold a batch that PostgreSQL has not read yet, or as much of it as it may: else the
    server would idle whenever this process renders. TCP finds the size by itself."""
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        if same.family == socket.AF_UNIX:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)


def _halves(pieces: Sequence[Piece]) -> tuple[Sequence[Piece], Sequence[Piece]] | None:
    """None for a single event."""
    if len(pieces) > 1:
        half = len(pieces) // 2
        return pieces[:half], pieces[half:]
    piece = pieces[0]
    if isinstance(piece, Poison) or piece.size == 1:
        return None
    half = piece.size // 2
    return [piece.part(0, half)], [piece.part(half, piece.size)]


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
