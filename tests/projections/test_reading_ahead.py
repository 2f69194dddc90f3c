"""Pages that are asked for before the last one came, and batches that grow, lose and repeat nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from log_writer import LogWriter
from projecting import (
    BOTH,
    Make,
    acquired,
    catch_up,
    opened,
    postgres_projection,
    project,
    run,
    until_caught_up,
)

from triton.errors import HoleError
from triton.events.entries import Page
from triton.events.log import Log
from triton.projections import projector
from triton.projections.projector import Projector
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "PAGE", 4)


@pytest.mark.parametrize("batch", [4, 10, 1000])
def test_many_pages_are_projected_once(settings: Settings, writer: LogWriter, batch: int) -> None:
    writer.history(5, 150)
    project(settings, batch=batch)
    report = verify(settings)
    assert report.ok, render(report)
    assert {one.position for one in report.checked} == {writer.position}


def test_a_batch_ends_where_it_holds_much_data(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        async with opened(settings) as (log, connection):
            projection = postgres_projection(settings)
            lease = await acquired(log, connection, projection.name)
            reading = Projector(log, projection, lease, block_ms=50, pause=0)
            reading._size = 100
            read = await reading._read(lease.checkpoint)
            assert (read.more, read.end.position) == (True, 4)
            monkeypatch.setattr(projector, "_BYTES", 1_000_000)
            read = await reading._read(read.end)
            assert (read.more, read.end.position) == (False, 15)
            monkeypatch.setattr(projector, "_BYTES", 1)
            await until_caught_up(log, reading)

    monkeypatch.setattr(projector, "_BYTES", 1)
    writer.run(5)
    run(scene())
    assert postgres.execute("SELECT count(*), max(position) FROM job_events").fetchone() == (15, 15)


@pytest.mark.parametrize("make", BOTH)
def test_a_hole_in_a_later_page_stops_the_projector_before_it(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection, make: Make
) -> None:
    writer.run(20)
    writer.client.xdel(writer.stream, "31-0")
    with pytest.raises(HoleError):
        run(catch_up(settings, make, batch=20, end=1_000_000))
    (reached,) = postgres.execute("SELECT position FROM checkpoints").fetchone() or (None,)
    assert reached is not None
    assert 0 < reached <= 30


class Growing(Log):
    """A log that grows between the answers to two pages that were asked for together."""

    def __init__(self, log: Log, writer: LogWriter) -> None:
        super().__init__(log.client, log.namespace, log.epochs)
        self._writer = writer
        self._short = asyncio.Event()
        self._answered = asyncio.Event()
        self.late: list[int] = []

    async def page(self, partition: int, after: int, **more: Any) -> Page | None:
        if after == 8:
            await self._short.wait()
            await asyncio.to_thread(self._writer.run, 3)
        page = await super().page(partition, after, **more)
        if after == 4:
            self._short.set()
            await self._answered.wait()
        elif after == 8 and page is not None:
            self.late += page.positions
            self._answered.set()
        return page


def test_what_was_added_behind_a_short_page_waits_its_turn(
    settings: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(projector, "_AHEAD", 2)

    async def scene() -> None:
        async with opened(settings) as (found, connection):
            log = Growing(found, writer)
            projection = postgres_projection(settings)
            lease = await acquired(log, connection, projection.name)
            reading = Projector(log, projection, lease, block_ms=50, pause=0)
            # Else the first batch would be one page, and nothing asked for ahead.
            reading._size = 100
            await until_caught_up(log, reading, 15)
            assert log.late[0] == 9

    writer.run(2)
    run(scene())
    assert postgres.execute("SELECT count(*), max(position) FROM job_events").fetchone() == (15, 15)
