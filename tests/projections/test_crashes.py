"""A projector that is killed at any await, and started again, leaves what the log says: no more, no less."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import psycopg
import pytest
from clickhouse_connect.driver.client import Client
from interruption import Interrupted, Killed
from log_writer import LogWriter
from projecting import (
    Make,
    acquired,
    catch_up,
    clickhouse_projection,
    digest_at,
    opened,
    postgres_projection,
    run,
)

from triton.checkpoints.lease import Lease
from triton.events.types import Completed, Error, Progressed, RetryScheduled
from triton.postgres import Connection
from triton.projections import clickhouse as clickhouse_module
from triton.projections.clickhouse import ClickHouseBatch, ClickHouseProjection
from triton.projections.projector import Projection, Projector
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings

#: Small, so that a run has several batches, and jobs have their events in more than one.
BATCH = 4


class Attempt:
    """One run of a projector to the end of the log, that is interrupted on the way."""

    def __init__(self, settings: Settings, make: Make) -> None:
        self._settings = settings
        self._projection: Projection = make(settings)
        self._lease: Lease | None = None
        self._stop = asyncio.Event()

    async def interrupted(self, at: int, how: Literal["kill", "cancel"]) -> bool:
        """False where the run ended before its n-th await."""
        async with opened(self._settings) as (log, _):
            connection = await psycopg.AsyncConnection.connect(
                self._settings.database_url, autocommit=True
            )
            watching = asyncio.create_task(self._watch(await log.position(0)))
            attempt = Interrupted(self._run(log, connection), at, how)
            try:
                await attempt
            except (Killed, asyncio.CancelledError):
                return True
            finally:
                watching.cancel()
                # What the kernel does with a dead process: its sockets are closed.
                connection.pgconn.finish()
                attempt.bury()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
            return False

    async def _run(self, log: object, connection: Connection) -> None:
        self._lease = await acquired(log, connection, self._projection.name)  # type: ignore[arg-type]
        projector = Projector(
            log,  # type: ignore[arg-type]
            self._projection,
            self._lease,
            batch=BATCH,
            block_ms=50,
            pause=0,
        )
        await projector.run(self._stop)
        await self._lease.release()

    async def _watch(self, end: int) -> None:
        # Nobody tells when a checkpoint moves.
        while self._lease is None or self._lease.checkpoint.position < end:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        self._stop.set()


def more(writer: LogWriter) -> None:
    """Eleven events of jobs, old and new, that are in several states."""
    waiting = [writer.submit() for _ in range(2)]
    (first,) = writer.claim()
    writer.report(first, 1, Progressed(percent=50, stage="half"))
    writer.finish(first, RetryScheduled(due=1, error=Error(type="ValueError"), retries=1))
    for job in writer.claim(2):
        writer.finish(job, Completed(result=waiting))


@pytest.mark.parametrize(("how", "stride"), [("kill", 1), ("cancel", 3)])
@pytest.mark.parametrize("make", [postgres_projection, clickhouse_projection])
def test_interrupted_at_every_await(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    clickhouse: Client,
    make: Make,
    how: Literal["kill", "cancel"],
    stride: int,
) -> None:
    at = 0
    interrupted = True
    while interrupted:
        at += stride
        more(writer)
        interrupted = run(Attempt(settings, make).interrupted(at, how))
        run(catch_up(settings, make, batch=BATCH))
        if make is postgres_projection:
            found = postgres.execute("SELECT count(*), max(position) FROM job_events").fetchone()
        else:
            (found,) = clickhouse.query(
                "SELECT count(), max(position) FROM job_events FINAL"
            ).result_rows
        assert found == (writer.position, writer.position), f"after the interruption at await {at}"
    assert at > 15
    run(catch_up(settings, *{postgres_projection, clickhouse_projection} - {make}))
    report = verify(settings)
    assert report.ok, render(report)


def test_a_batch_that_clickhouse_knows_but_has_not_is_inserted_again(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, clickhouse: Client
) -> None:
    """ClickHouse writes down that it knows an insert before the rows are in the table. Killed between
    the two, it must not take the repetition for done."""
    writer.run(2)
    run(catch_up(settings, clickhouse_projection))
    before = postgres.execute("SELECT position, digest FROM checkpoints").fetchone()
    assert before is not None
    writer.run(3)
    run(catch_up(settings, clickhouse_projection))
    # As the kill leaves it: intended, not in the table, not landed.
    postgres.execute(
        "INSERT INTO insert_intents (projector, partition, epoch, first_position, last_position, rows,"
        " digest) SELECT projector, partition, epoch, %s, position, 9, digest FROM checkpoints",
        (before[0] + 1,),
    )
    postgres.execute("UPDATE checkpoints SET position = %s, digest = %s", before)
    clickhouse.command(
        "ALTER TABLE job_events DELETE WHERE position > %(position)s SETTINGS mutations_sync = 2",
        parameters={"position": before[0]},
    )
    run(catch_up(settings, clickhouse_projection))
    (found,) = clickhouse.query("SELECT count(), max(position) FROM job_events FINAL").result_rows
    assert found == (writer.position, writer.position)


def test_a_range_that_was_begun_lands_in_several_inserts_where_one_would_be_too_large(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A version before limited a batch by its events alone, and was killed or refused within its insert."""
    most = 100_000
    monkeypatch.setattr(clickhouse_module, "INSERT_BYTES", most)
    writer.run(1)
    run(catch_up(settings, clickhouse_projection))
    for size in (40_000, 70_000, 10, 250_000, 10, *[30_000] * 8):
        writer.submit(args=["x" * size])
    postgres.execute(
        "INSERT INTO insert_intents (projector, partition, epoch, first_position, last_position, rows,"
        " digest) SELECT projector, partition, epoch, 4, 15, 12, %s FROM checkpoints",
        (digest_at(settings, 15),),
    )
    sent: list[int] = []

    class Watched(ClickHouseProjection):
        def _insert(self, partition: int, batch: ClickHouseBatch, body: bytes) -> None:
            sent.append(len(body))
            super()._insert(partition, batch, body)

    run(catch_up(settings, lambda s: Watched(s.clickhouse_url)))
    # The one event that is larger by itself stands alone.
    (over,) = [size for size in sent if size > most + 10_000]
    assert 250_000 < over < 255_000
    assert len(sent) < 10, "an insert for each event"
    assert postgres.execute("SELECT count(*) FROM insert_intents").fetchone() == (0,)
    run(catch_up(settings, postgres_projection))
    report = verify(settings)
    assert report.ok, render(report)
