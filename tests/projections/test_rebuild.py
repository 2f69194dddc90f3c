"""A rebuild while the live tables serve: the same rows beside them, in their place in one step, and back."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest
from log_writer import LogWriter
from projecting import acquired, catch_up, opened, postgres_projection, project, run
from rebuilding import filled, killed, rebuilding, step

from triton.errors import ConflictError, FencedError
from triton.events.types import Error, Failed
from triton.projections.rebuild.postgres_tables import TABLES
from triton.projections.rebuild.running import Rebuild
from triton.projections.report import render
from triton.projections.verify import verify
from triton.settings import Settings

NAME = "postgres"


def some(writer: LogWriter) -> None:
    """Jobs in several states, one of them failed, one that goes on later."""
    writer.history(seed=writer.position, events=writer.position + 120)
    writer.submit()
    for job in writer.claim(1):
        writer.finish(job, Failed(error=Error(type="ValueError")))


def catalogue(postgres: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Everything about the live tables that a migration could name later."""
    return postgres.execute(
        "SELECT c.relname, c.relkind, c.reloptions, c.relacl::text, a.attname, a.atttypid, a.attnotnull"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT tgname, 't', NULL, pg_get_triggerdef(oid), tgrelid::regclass::text, 0, false"
        " FROM pg_trigger WHERE NOT tgisinternal AND pg_get_triggerdef(oid) LIKE '% ON public.%'"
        " UNION ALL SELECT conname, 'n', NULL, pg_get_constraintdef(oid), conrelid::regclass::text, 0, false"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
        " UNION ALL SELECT policyname, 'p', roles::text[], coalesce(qual, '') || coalesce(with_check, ''),"
        " tablename, 0, relforcerowsecurity FROM pg_policies JOIN pg_class c ON c.relname = tablename"
        " WHERE schemaname = 'public' AND c.relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT indexname, 'i', NULL, indexdef, tablename, 0, false"
        " FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 5"
    ).fetchall()


def rows(postgres: psycopg.Connection) -> dict[str, Any]:
    return {
        table: postgres.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode()).fetchall()
        for table in (*TABLES, "jobs", "dead_letters")
    }


def test_a_rebuild_restores_what_was_lost_and_can_be_taken_back(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    some(writer)
    project(settings)
    right, shape = rows(postgres), catalogue(postgres)
    postgres.execute(
        "UPDATE job_states SET state = 'completed', version = version + 1 WHERE state = 'failed'"
    )
    postgres.execute("DELETE FROM job_events WHERE position % 7 = 0")
    wrong = rows(postgres)
    assert filled(settings).state == "ready"
    assert rows(postgres) == wrong, "a rebuild touched what serves"

    found = step(settings, lambda rebuild: rebuild.compare())
    assert not found.ok
    assert {one.table for one in found.differences} == {"job_events", "job_states", "failed_jobs"}
    at = step(settings, lambda rebuild: rebuild.cutover())
    assert at == {0: writer.position}
    assert rows(postgres) == right
    assert catalogue(postgres) == shape, "the rebuilt tables are not what the migrations know"
    assert verify(settings).ok

    some(writer)
    project(settings)
    step(settings, lambda rebuild: rebuild.rollback())
    lost = postgres.execute("SELECT count(*) FROM job_events").fetchone()
    assert lost == (writer.position - len(right["job_events"]) + len(wrong["job_events"]),)
    assert catalogue(postgres) == shape
    step(settings, lambda rebuild: rebuild.cutover())
    project(settings)
    report = verify(settings)
    assert report.ok, render(report)
    assert step(settings, lambda rebuild: rebuild.drop())
    assert postgres.execute("SELECT to_regnamespace('triton_shadow_postgres')").fetchone() == (
        None,
    )
    assert catalogue(postgres) == shape


def test_what_is_equal_is_found_equal_while_the_live_one_is_behind(
    settings: Settings, writer: LogWriter
) -> None:
    some(writer)
    project(settings)
    filled(settings)
    some(writer)
    found = step(settings, lambda rebuild: rebuild.compare())
    assert found.ok
    assert found.moving > 0
    assert found.rows["job_events"][0] == found.rows["job_events"][1] > 100


def test_a_projector_that_works_meanwhile_is_fenced_and_goes_on_in_the_new_tables(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """One that keeps its lease over a cutover would move the new checkpoint over rows of the old tables."""
    some(writer)
    project(settings)

    async def over_a_cutover() -> None:
        async with opened(settings) as (log, connection), rebuilding(settings) as rebuild:
            lease = await acquired(log, connection, NAME)
            await rebuild.fill()
            await rebuild.cutover()
            with pytest.raises(FencedError):
                await lease.renew()

    run(over_a_cutover())
    some(writer)
    project(settings)
    assert postgres.execute("SELECT max(position) FROM job_events").fetchone() == (writer.position,)
    report = verify(settings)
    assert report.ok, render(report)


def test_events_come_in_while_everything_happens(settings: Settings, writer: LogWriter) -> None:
    """The live projector runs through, jobs change at every step, and nothing is lost or applied twice."""
    some(writer)

    async def all_of_it() -> None:
        stop = asyncio.Event()

        async def live() -> None:
            while not stop.is_set():
                try:
                    await catch_up(settings, postgres_projection, batch=7)
                except FencedError:
                    await asyncio.sleep(0)

        task = asyncio.create_task(live())
        try:
            async with rebuilding(settings) as rebuild:
                for do in (
                    rebuild.fill,
                    rebuild.compare,
                    rebuild.cutover,
                    rebuild.rollback,
                    rebuild.cutover,
                ):
                    await asyncio.to_thread(some, writer)
                    found = await do()  # type: ignore[operator]
                    if do == rebuild.compare:
                        assert found.ok, found.differences
        finally:
            stop.set()
            await task

    run(all_of_it())
    project(settings)
    report = verify(settings)
    assert report.ok, render(report)


def test_two_rebuilders_do_not_meet(settings: Settings, writer: LogWriter) -> None:
    some(writer)
    filled(settings)

    async def second() -> None:
        async with opened(settings) as (log, connection), rebuilding(settings) as rebuild:
            await connection.execute("SET search_path TO triton_shadow_postgres, public")
            lease = await acquired(log, connection, NAME, owner="rebuild:elsewhere")
            for do in (rebuild.fill, rebuild.compare, rebuild.cutover):
                with pytest.raises(ConflictError, match="another process works on the shadow"):
                    await do()  # type: ignore[operator]
            await lease.release()
            await rebuild.cutover()

    run(second())


def test_a_rebuild_writes_nothing_into_redis(settings: Settings, writer: LogWriter) -> None:
    """Side effects of history, once more: what Marten's warm-up did."""
    some(writer)
    before = {
        key: writer.client.dump(key) for key in writer.client.scan_iter(f"{{{settings.namespace}*")
    }
    filled(settings)
    step(settings, lambda rebuild: rebuild.cutover())
    after = {
        key: writer.client.dump(key) for key in writer.client.scan_iter(f"{{{settings.namespace}*")
    }
    assert after == before


def test_steps_in_the_wrong_order_are_refused(settings: Settings, writer: LogWriter) -> None:
    some(writer)
    project(settings)
    for do in (Rebuild.compare, Rebuild.cutover, Rebuild.rollback):
        with pytest.raises(ConflictError, match="there is no shadow"):
            step(settings, do)
    assert not step(settings, lambda rebuild: rebuild.drop())
    filled(settings)
    for do in (Rebuild.rollback, Rebuild.drop):
        with pytest.raises(ConflictError, match="was not switched"):
            step(settings, do)
    step(settings, Rebuild.cutover)
    for do in (Rebuild.cutover, Rebuild.fill, lambda rebuild: rebuild.fill(restart=True)):
        with pytest.raises(ConflictError, match="finalize"):
            step(settings, do)
    step(settings, Rebuild.drop)
    filled(settings)
    assert step(settings, lambda rebuild: rebuild.drop(abandon=True))
    assert verify(settings).ok


def test_a_shadow_of_another_shape_is_refused(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """A migration in between: its column or index would be gone after the cutover."""
    some(writer)
    project(settings)
    filled(settings)
    postgres.execute("CREATE INDEX later ON job_events (at)")
    try:
        with pytest.raises(ConflictError, match="a migration ran"):
            step(settings, Rebuild.cutover)
        filled(settings, restart=True)
        step(settings, Rebuild.cutover)
        (index,) = postgres.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'later' AND schemaname = 'public'"
        ).fetchone() or ("",)
        assert "ON public.job_events" in index
    finally:
        postgres.execute("DROP INDEX later")


def test_a_shadow_of_a_log_that_is_no_more_says_what_to_do(
    settings: Settings, writer: LogWriter
) -> None:
    some(writer)
    project(settings)
    filled(settings)
    writer.send(writer.scripts.adopt(writer.prefix, writer.epoch, "another"))
    with pytest.raises(ConflictError, match="rebuild postgres --restart"):
        filled(settings)
    assert filled(settings, restart=True).state == "ready"


@pytest.mark.parametrize("seed", [7])
def test_a_restarted_fill_goes_on_where_it_was(
    settings: Settings, writer: LogWriter, seed: int
) -> None:
    """Killed at every await, from making the shadow to the last index, each time with more of the log."""
    chance = random.Random(seed)
    at, interrupted = 0, True
    while interrupted:
        at += chance.randrange(1, 3)
        writer.run(1)
        interrupted = run(killed(settings, at, lambda rebuild: rebuild.fill(batch=4)))
    assert at > 25
    project(settings)
    found = step(settings, Rebuild.compare)
    assert found.ok, found.differences
    step(settings, Rebuild.cutover)
    report = verify(settings)
    assert report.ok, render(report)


def test_a_switch_killed_at_every_await_is_done_or_not(
    settings: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    some(writer)
    project(settings)
    shape = catalogue(postgres)
    filled(settings)
    for do, end in ((Rebuild.cutover, "previous"), (Rebuild.rollback, "ready")):
        at, interrupted = 0, True
        while interrupted:
            at += 1
            if at % 9 == 0:
                writer.run(1)
                project(settings, postgres_projection)
            interrupted = run(killed(settings, at, do))
            assert catalogue(postgres) == shape, f"{do.__name__} killed at await {at}"
            found = postgres.execute(
                "SELECT position, (SELECT max(position) FROM job_events), (SELECT count(*) FROM job_events)"
                " FROM checkpoints WHERE projector = 'postgres'"
            ).fetchone()
            assert found is not None
            assert found[0] == found[1] == found[2], f"{do.__name__} killed at await {at}"
            if interrupted and step(settings, Rebuild.status).state == end:
                break
        assert at > 40
        project(settings)
        report = verify(settings)
        assert report.ok, render(report)
