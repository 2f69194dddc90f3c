"""Segments expire: only those that may, provably, and whoever reads is told what is not there any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg
import pytest
from archiving import archive_once, with_archive
from expiring import alone, expire, files, jobs, keep_for, later, plan, settle, step, verified
from interruption import interrupted
from log_writer import LogWriter
from projecting import opened, project, run

from triton.archive import open_archive
from triton.errors import EvidenceError
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.events.types import HoldPlaced
from triton.expiry.expiring import Expirer
from triton.expiry.running import run_expiry
from triton.postgres import Connection
from triton.settings import Settings


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    return with_archive(settings, tmp_path)


def test_segments_expire_in_order_and_all_that_was_signed_is_still_proved(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    jobs(writer, 6)
    settle(archived)
    keep_for(postgres, 30)
    assert "at least" in plan(archived, later(writer, 1))[0][2]
    assert step(archived, later(writer, 1)) == []
    now = later(writer, 40)
    ends = [(first, last) for first, last, why in plan(archived, now) if not why]
    assert len(ends) == 3
    declared = step(archived, now)
    assert [(one.first, one.last) for one in declared] == ends
    assert {one.state for one in declared} == {"declared"}
    assert "not sealed yet" in declared[0].waits_for
    assert all("zst" in kinds for kinds in files(archived, writer).values()), (
        "not before it is sealed"
    )
    assert alone(archived).verdict == "whole", alone(archived).sentence()
    run(archive_once(archived))
    done = step(archived, now)
    assert [one.state for one in done] == ["expired"] * 3
    assert step(archived, later(writer, 1)) == [], "the rest is young"
    kinds = files(archived, writer)
    assert all(kinds[bounds] == {"json", "leaves"} for bounds in ends)
    assert all("zst" in kinds[bounds] for bounds in kinds.keys() - set(ends))
    report = alone(archived)
    assert report.verdict == "whole", report.sentence()
    assert [tuple(one) for one in report.trees[0].expired] == [
        (one.first, one.last, one.position) for one in done
    ]
    assert "expired by declared events at positions" in report.sentence()
    project(archived)
    report, counts = run(verified(archived))
    assert report.verdict == "whole", report.sentence()
    assert all(one.events == one.expected for one in counts)
    row = postgres.execute(
        "SELECT type, data FROM job_events WHERE position = %s", (done[0].position,)
    ).fetchone()
    assert row is not None
    assert row[0] == "segment.expired"
    assert (row[1]["first"], row[1]["last"], row[1]["events"]) == (*ends[0], ends[0][1])


def test_what_keeps_a_segment_keeps_all_behind_it(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    """A segment goes only with all of its events; and what keeps it is asked again before it goes."""
    (first, *_) = jobs(writer, 6)
    lives = writer.submit(due=later(writer, 99))
    jobs(writer, 4)
    settle(archived)
    now = later(writer, 40)
    assert "nobody said" in plan(archived, now)[0][2]
    keep_for(postgres, 30)
    *may, kept = plan(archived, now)
    assert [why for _, _, why in may] == ["", "", ""]
    assert kept[2] == f"job {lives} has not ended"
    keep_for(postgres, 0, queue="default")
    assert "for ever" in plan(archived, now)[0][2]
    postgres.execute("DELETE FROM retention WHERE queue = 'default'")
    assert len(step(archived, now)) == 3
    run(archive_once(archived))
    postgres.execute(
        "INSERT INTO holds (hold, scope, value, reason, placed_by) VALUES ('h', 'job', %s, 'w', 'a')",
        (first,),
    )
    held, *others = step(archived, now)
    assert (held.state, held.waits_for) == ("declared", f"h holds job {first}")
    assert {one.waits_for for one in others} == {"an older segment is not gone yet"}
    assert alone(archived).verdict == "whole", "declared, and not gone"
    assert all("zst" in kinds for kinds in files(archived, writer).values())
    postgres.execute("UPDATE holds SET lifted_by = 'a', lifted_at = now()")
    assert [one.state for one in step(archived, now)] == ["expired"] * 3


def test_nothing_expires_that_somebody_may_still_read(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    jobs(writer, 6)
    keep_for(postgres, 1)
    now = later(writer, 9)
    lagging = msgspec.structs.replace(archived, keep_events=1000)
    settle(lagging)
    assert plan(archived, now)[0][2] == "its events are still in Redis"
    settle(archived)
    assert plan(archived, now)[0][2] == ""
    postgres.execute("UPDATE checkpoints SET position = 3 WHERE projector = 'clickhouse'")
    assert plan(archived, now)[0][2] == "clickhouse has not read it"
    postgres.execute("UPDATE checkpoints SET position = 18 WHERE projector = 'clickhouse'")
    held = HoldPlaced(hold="h", scope="queue", value="default", reason="case")
    writer.send(writer.scripts.note(writer.prefix, held, op="h", by="user:ann"))
    assert "has not read a rule behind position 18" in plan(archived, now)[0][2]
    settle(archived)
    assert plan(archived, now)[0][2] == "h holds queue default", "of its event alone"


def test_an_archiver_does_it_by_itself_where_a_retention_is_set(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    jobs(writer, 6)
    settle(archived)
    now = later(writer, 40)
    often = msgspec.structs.replace(archived, expire_ms=20)

    def states() -> list[str]:
        return [state for (state,) in postgres.execute("SELECT state FROM expiries")]

    async def until(check: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not check():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def scene() -> None:
        archive, stop = open_archive(often.archive_url), asyncio.Event()
        async with opened(often) as (log, _):
            task = asyncio.create_task(run_expiry(log, archive, often, stop, now=now))
            keep_for(postgres, 30)
            await until(lambda: states() == ["declared"] * 3)
            await archive_once(often)
            await until(lambda: states() == ["expired"] * 3)
            stop.set()
            await task

    run(scene())
    assert alone(archived).verdict == "whole", alone(archived).sentence()
    off = msgspec.structs.replace(archived, expire_ms=0)

    async def never() -> None:
        async with opened(off) as (log, _):
            archive = open_archive(off.archive_url)
            await run_expiry(log, archive, off, asyncio.Event(), now=now)

    run(never())  # ends at once


def test_a_file_that_is_not_what_was_sealed_is_neither_declared_nor_removed(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    jobs(writer, 6)
    settle(archived)
    keep_for(postgres, 30)
    path = Path(archived.archive_url.removeprefix("file://"))
    (first, *_) = sorted(path.rglob("*.zst"))
    whole = first.read_bytes()
    first.write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
    end = writer.position
    with pytest.raises(EvidenceError, match="SHA-256"):
        step(archived, later(writer, 40))
    assert writer.position == end
    first.write_bytes(whole)
    step(archived, later(writer, 40))
    run(archive_once(archived))
    leaves = first.with_suffix(".leaves")
    raw = leaves.read_bytes()
    leaves.write_bytes(bytes(32) + raw[32:])
    with pytest.raises(EvidenceError, match="do not lead to the root"):
        step(archived, later(writer, 40))
    assert first.exists()
    leaves.write_bytes(raw)
    assert [one.state for one in step(archived, later(writer, 40))] == ["expired"] * 3


def expirer(settings: Settings, now: int) -> Callable[[Log, Connection], Coroutine[Any, Any, None]]:
    async def expires(log: Log, connection: Connection) -> None:
        archive = open_archive(settings.archive_url)
        await Expirer(log, connection, archive, Scripts()).step(0, now=now)

    return expires


async def alone_again(settings: Settings) -> None:
    """Until the server has noticed that the killed one is gone."""
    async with opened(settings) as (_, connection):
        await connection.execute("SELECT pg_advisory_lock(hashtext('triton.expiry'), 0)")


@pytest.mark.parametrize(("how", "stride"), [("kill", 1), ("cancel", 3)])
def test_interrupted_at_every_await(
    archived: Settings,
    writer: LogWriter,
    postgres: psycopg.Connection,
    how: Literal["kill", "cancel"],
    stride: int,
) -> None:
    """Whenever it dies, nothing is gone that is not declared and sealed, and the next one ends it."""
    jobs(writer, 3)
    settle(archived)
    keep_for(postgres, 1)
    at, cut, rounds = 0, True, 0
    # A run that goes on with what another began has fewer awaits than a whole one: it does not end this.
    while cut or at <= 40:
        at += stride
        rounds += 1
        if not plan_left(archived, writer, postgres):
            jobs(writer, 3)
            settle(archived)
        cut = run(interrupted(archived, expirer(archived, later(writer, 9)), at, how))
        run(alone_again(archived))
        assert alone_is_whole(archived), f"after await {at}"
        run(archive_once(archived))
    now = later(writer, 9)
    expire(archived, now)
    step(archived, now)
    rows = postgres.execute(
        "SELECT first_position, last_position, state FROM expiries ORDER BY 1"
    ).fetchall()
    kinds = files(archived, writer)
    for first, last, state in rows:
        if state == "expired":
            assert kinds[first, last] == {"json", "leaves"}
    gone = {bounds for bounds, found in kinds.items() if "zst" not in found}
    assert gone == {(first, last) for first, last, state in rows if state == "expired"}
    assert alone(archived).verdict == "whole", alone(archived).sentence()


def plan_left(settings: Settings, writer: LogWriter, postgres: psycopg.Connection) -> bool:
    """Whether there is anything left to be done."""
    row = postgres.execute("SELECT count(*) FROM expiries WHERE state <> 'expired'").fetchone()
    return bool(row and row[0]) or any(not why for _, _, why in plan(settings, later(writer, 9)))


def alone_is_whole(settings: Settings) -> bool:
    report = alone(settings)
    # What was said just now is signed and not sealed.
    return report.verdict == "whole" or "not sealed yet" in report.sentence()
