"""Cheap updates in PostgreSQL, and numbers in ClickHouse that no repetition bends."""

from __future__ import annotations

import random
from typing import Any

import psycopg
from clickhouse_connect.driver.client import Client
from log_writer import LogWriter
from projecting import opened, postgres_projection, project, run

from eventually import eventually
from triton.events.types import Completed, Error, Failed, Progressed
from triton.projections.clickhouse import SETTINGS
from triton.projections.native import Block, Texts
from triton.projections.rows import COLUMNS, RowReader, Rows
from triton.settings import Settings

VIEWS = ("throughput_per_minute", "latency_per_minute", "failures_per_minute")


def test_updates_of_a_job_stay_in_their_page(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """An index on a mutable column, or a full page, would turn each of these into index writes."""
    postgres.execute("SELECT pg_stat_reset()")
    for _ in range(200):
        writer.submit()
    project(settings, postgres_projection)
    held = writer.claim(200)
    project(settings, postgres_projection)
    for seq in (1, 2, 3):
        for job in held:
            writer.report(job, seq, Progressed(percent=seq * 25, stage=f"stage {seq}"))
        project(settings, postgres_projection)
    for job in held:
        writer.finish(job, Completed(result={"pages": 12}))
    project(settings, postgres_projection)
    postgres.execute("SELECT pg_stat_force_next_flush()")

    def counted() -> tuple[int, int]:
        """What the projectors' sessions did, which they tell when they end."""
        found = postgres.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job_states'"
        ).fetchone() or (0, 0)
        assert found[0] == 1000
        return found

    _, hot = eventually(counted)
    assert hot >= 950


def test_views_are_exact_however_often_and_however_cut_a_batch_is_inserted(
    settings: Settings, writer: LogWriter, clickhouse: Client
) -> None:
    writer.run(20)
    for _ in range(5):
        writer.submit(due=1, tenant="acme", queue="mail", actor="send")
    for job in writer.claim(5, queue="mail"):
        writer.finish(job, Failed(error=Error(type="KeyError")))
    project(settings)
    wanted = answers(clickhouse)
    assert all(wanted.values())

    rows = run(read_rows(settings, writer.position))
    chance = random.Random(7)
    for _ in range(6):
        # Other ends, as after a crash or a changed batch size.
        start = chance.randrange(rows.size)
        some = rows.part(start, start + chance.randrange(1, rows.size))
        block, middle = Block(Texts()), some.size // 2
        for begin, end in ((0, middle), (middle, some.size)):
            if begin < end:
                block.add(some.part(begin, end))
        clickhouse.raw_insert("job_events", COLUMNS, block.body(), fmt="Native", settings=SETTINGS)
        assert answers(clickhouse) == wanted
    (stored,) = clickhouse.query("SELECT count(), uniqExact(position) FROM job_events").result_rows
    assert stored[0] > stored[1] == writer.position, "nothing was inserted twice: a test of nothing"
    clickhouse.command("OPTIMIZE TABLE job_events FINAL")
    clickhouse.command("OPTIMIZE TABLE job_times FINAL")
    assert answers(clickhouse) == wanted


def answers(clickhouse: Client) -> dict[str, list[Any]]:
    return {
        view: sorted(clickhouse.query(f"SELECT * FROM {view}").result_rows, key=repr)
        for view in VIEWS
    }


async def read_rows(settings: Settings, until: int) -> Rows:
    async with opened(settings) as (log, _):
        page = await log.page(0, 0, until=until, count=until)
    assert page is not None
    (rows,) = RowReader(bytes).read(page)
    assert isinstance(rows, Rows)
    return rows
