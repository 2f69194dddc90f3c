"""Redis is emptied while jobs wait, run, are scheduled and have ended, and is restored from archive and
PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from archiving import archive_once, with_archive
from clickhouse_connect.driver.client import Client
from interruption import Interrupted, Killed
from log_writer import LogWriter
from projecting import clickhouse_projection, project, run
from redis.exceptions import ResponseError

from triton import keys
from triton.errors import ConflictError, UnavailableError
from triton.events.client import send
from triton.events.heads import born_of
from triton.events.replies import Claimed, answers
from triton.events.submission import Submission
from triton.events.types import (
    Completed,
    Error,
    Failed,
    Progressed,
    RetryScheduled,
    Snoozed,
    StepCompleted,
)
from triton.projections.report import render
from triton.projections.verify import verify
from triton.restore.running import Restored, open_restore
from triton.settings import Settings
from triton.submit import Caller, message_for, submission_of
from triton.terms import Terms
from triton.uniqueness import Unique

#: A time that comes in no test.
LATER = 4_102_444_800_000_000
HOUR_MS = 3_600_000


@pytest.fixture
def archived(settings: Settings, tmp_path: Path) -> Settings:
    return with_archive(settings, tmp_path)


def restored(settings: Settings) -> Restored:
    async def one() -> list[Restored]:
        async with open_restore(settings) as opened:
            return await opened.run(by="user:tester", reason="a test", patience=20.0)

    (found,) = run(one())
    assert isinstance(found, Restored)
    return found


def lose(writer: LogWriter) -> None:
    for name in list(writer.client.scan_iter(writer.prefix + "*")):
        writer.client.delete(name)


def submission(job: str, terms: Terms, *, keep_ms: int = 0, **more: Any) -> Submission:
    message = message_for(job=job, at_ms=1, actor="noop", args=[1, "x"])
    return submission_of(message, Caller("user:tester"), terms=terms, keep_ms=keep_ms, **more)


def everything(writer: LogWriter) -> dict[str, Claimed]:
    """Jobs in every state, with all that Redis may keep of one. Answers those that run."""
    writer.submit("waits-2")
    soon = [writer.submit(f"runs-{n}") for n in range(3)]
    special = [
        submission("unique", Terms(unique=Unique(key="k"))),
        submission("windowed", Terms(unique=Unique(key="w", window=HOUR_MS))),
        submission("expires", Terms(ttl=HOUR_MS * 1000)),
        submission("by-key", Terms(idempotency_key="one"), keep_ms=9 * HOUR_MS),
        submission("urgent", Terms(), priority=-10),
    ]
    writer.send(writer.scripts.submit(writer.prefix, special))
    writer.submit("due", due=LATER, queue="mail")
    ended = {"urgent", "waits-2"}
    given = {job.job: job for job in writer.claim(5)}
    assert given.keys() == {*ended, *soon}, "the order of a queue"
    writer.finish(given["urgent"], Completed(result={"n": 1}))
    writer.finish(given["waits-2"], Failed(error=Error(type="ValueError", message="no")))
    writer.report(given["runs-1"], 1, StepCompleted(name="one", result=[1, None]))
    writer.report(given["runs-1"], 2, Progressed(percent=50, stage="half"))
    writer.finish(given["runs-1"], RetryScheduled(error=Error(type="KeyError"), retries=1))
    writer.finish(given["runs-2"], Snoozed(reason="later"))
    writer.claim(0)  # what is due goes into its queue
    cancel = writer.scripts.cancel(
        writer.prefix, ["runs-0", "due"], op="o", by="user:ann", reason="r"
    )
    assert answers(writer.send(cancel)) == ["requested", "cancelled"]
    writer.submit("far", due=LATER, queue="mail", args=["ä", 1.5])
    writer.send(writer.scripts.hold(writer.prefix, "mail", "paused", by="user:ann", reason="busy"))
    return given


def dump(writer: LogWriter) -> dict[str, Any]:
    """All keys of the partition, without messages and what a restore cannot know."""
    client, found = writer.client, {}
    for raw in client.scan_iter(writer.prefix + "*"):
        name = raw.decode().removeprefix(writer.prefix)
        kind = client.type(raw)
        if name == "log" or name.startswith(("bell:", "claim:", "body:")):
            continue
        if kind == b"hash":
            found[name] = hash_of(client.hgetall(raw))
        elif kind == b"zset":
            found[name] = client.zrange(raw, 0, -1, withscores=not name.startswith("leases:"))
        elif kind == b"set":
            found[name] = client.smembers(raw)
        else:
            found[name] = client.get(raw)
        if (ttl := client.pttl(raw)) > 0:
            found[f"{name} (hours left)"] = round(ttl / HOUR_MS, 1)
    return found


def hash_of(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for raw, value in fields.items():
        name = raw.decode()
        # The last request, what the server counts, and what says nothing.
        if not value or name in ("epoch", "created", "trimmed", "ttl", "op"):
            continue
        try:
            plain[name] = float(value)
        except ValueError:
            plain[name] = value
        if name == "born":  # but for where the message is
            plain[name] = msgspec.structs.astuple(
                msgspec.structs.replace(born_of(fields), own_body=0)
            )
        elif name in ("outcome", "terms") or value[0] > 127:
            plain[name] = msgspec.msgpack.decode(value)
            if name == "mail":  # who holds the queue, and not when
                plain[name].pop()
    return plain


def as_restored(found: dict[str, Any]) -> dict[str, Any]:
    """One attempt of each job that waits is left out; but a job that may expire has not started. What goes
    without saying is said."""
    for fields in found.values():
        if isinstance(fields, dict) and "born" in fields:
            position, _, at, *_ = fields["born"]
            priority = fields["born"][-2]
            said = {"state": b"pending", "version": 1, "attempt": 0, "at": at, "pos": position}
            fields |= {**said, "order": priority * 1e6 + position, **fields}
            fields.pop("seq", None)
        waits = isinstance(fields, dict) and fields.get("state") in (b"pending", b"scheduled")
        if waits and not fields.get("terms", [0])[0]:
            fields["attempt"] += 1
    return found


def as_found(found: dict[str, Any]) -> dict[str, Any]:
    for fields in found.values():
        if isinstance(fields, dict):
            fields.pop("seq", None)
    return found


@pytest.mark.parametrize("how", ["archived", "projected", "both"])
def test_what_redis_held_it_holds_again(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, how: str
) -> None:
    everything(writer)
    if how != "archived":
        project(archived)
    if how != "projected":
        run(archive_once(archived))
    if how == "both":
        writer.run(4)
        writer.submit("after the archive", args=[{"deep": [1, None, "ü"]}])
        project(archived)
    before, end = as_restored(dump(writer)), writer.position
    lose(writer)
    found = restored(archived)
    assert (found.plan.end, found.plan.lost_from, found.unreadable) == (end, 0, [])
    assert as_found(dump(writer)) == before
    if how != "archived":  # who begins at 0 reads the archive: see test_lost_stores
        project(archived)
        report = verify(archived)
        assert report.ok, render(report)
    assert postgres.execute("SELECT epoch FROM log_epochs").fetchall() == [(found.epoch,)]


def test_work_goes_on_and_each_job_ends_once(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection
) -> None:
    running = everything(writer)
    project(archived)
    run(archive_once(archived))
    lose(writer)
    restored(archived)
    assert writer.client.hget(keys.meta(writer.prefix), "ttl") == b"1", "nothing would expire"
    # A worker that lived through it says what it did; one that died is noticed by the next claim.
    late = writer.scripts.heartbeat(writer.prefix, 60_000, [("runs-0", running["runs-0"].attempt)])
    assert answers(writer.send(late)) == ["cancel"]
    writer.finish(running["runs-0"], Completed())
    given = [job for _ in range(4) for job in writer.claim(20)]
    assert [job.job for job in given[:2]] == ["unique", "windowed"]
    for job in given:
        writer.finish(job, Completed(result=job.job))
    messages = {job.job: msgspec.json.decode(job.body) for job in given}
    assert {"runs-1", "runs-2", "expires"} <= messages.keys()
    assert (messages["unique"]["args"], messages["unique"]["options"]) == ([1, "x"], {})
    assert messages["runs-1"]["options"]["retries"] == 1, "its retry policy would begin anew"
    again = submission("unique", Terms(idempotency_key="one"), keep_ms=9 * HOUR_MS)
    other = submission_of(
        message_for(job="x", at_ms=1, actor="noop", args=[2]),
        Caller("user:tester"),
        terms=Terms(idempotency_key="one"),
        keep_ms=1000,
    )
    assert answers(writer.send(writer.scripts.submit(writer.prefix, [again, other]))) == [
        "exists",
        "differs",
    ]
    project(archived)
    report = verify(archived)
    assert report.ok, render(report)
    ends = postgres.execute(
        "SELECT job, count(*) FROM job_events WHERE type IN ('job.completed', 'job.failed', 'job.cancelled')"
        " GROUP BY job"
    ).fetchall()
    assert set(ends) == {
        (job, 1)
        for (job,) in postgres.execute("SELECT job FROM jobs WHERE job <> 'far'").fetchall()
    }
    # The archive goes on in the new epoch, from the first position.
    run(archive_once(archived))
    assert postgres.execute(
        "SELECT max(last_position) FROM segments GROUP BY epoch ORDER BY max(created_at) DESC"
    ).fetchone() == (writer.position,)


@pytest.mark.parametrize("first", [1, 4])
def test_killed_at_any_await_it_is_repeated(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, first: int
) -> None:
    """Every sixth await, beginning at another one. Nobody works on a log that is there in parts."""
    everything(writer)
    project(archived)
    run(archive_once(archived))
    writer.run(2)
    project(archived)
    before, end = as_restored(dump(writer)), writer.position
    lose(writer)
    at, interrupted = first - 6, True
    while interrupted:
        at += 6
        interrupted = run(killed(archived, at))
        meta = writer.client.hgetall(keys.meta(writer.prefix))
        if interrupted and b"restoring" in meta:
            with pytest.raises(ResponseError, match="TRITON_LAYOUT"):
                writer.claim()
            with pytest.raises(UnavailableError, match="being restored"):
                project(archived)
        if interrupted and int(meta.get(b"pos", 0)):
            break  # the very last step was done
    assert at > 30
    assert as_found(dump(writer)) == before
    assert postgres.execute("SELECT count(*) FROM log_epochs").fetchone() == (1,)
    writer.run(1)
    project(archived)
    report = verify(archived)
    assert report.ok, render(report)
    assert writer.position > end


async def killed(settings: Settings, at: int) -> bool:
    """Run a restore up to its n-th await, and kill it there. False where it ended before."""
    backends: list[int] = []

    async def doing() -> None:
        async with open_restore(settings) as opened:
            backends.append(opened._connection.info.backend_pid)
            await opened.run(by="user:tester", reason="a test", patience=5.0)

    attempt = Interrupted(doing(), at, "kill")
    try:
        await attempt
    except Killed:
        return True
    finally:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            # What the kernel does with a dead process: its sockets are closed.
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) pid", (backends,)
            )
        attempt.bury()
    return False


def test_a_lease_that_nobody_knows_of_is_not_given_again(
    archived: Settings, writer: LogWriter
) -> None:
    """The claim was in the tail that was lost, and its worker lives: it must not share the next one's
    lease."""
    writer.submit("one")
    project(archived)
    run(archive_once(archived))
    (unknown,) = writer.claim()
    lose(writer)
    restored(archived)
    (known,) = writer.claim()
    late = writer.scripts.heartbeat(writer.prefix, 60_000, [("one", unknown.attempt)])
    assert answers(writer.send(late)) == ["stale"]
    assert known.attempt > unknown.attempt


def test_what_nobody_has_is_named(
    archived: Settings, writer: LogWriter, postgres: psycopg.Connection, clickhouse: Client
) -> None:
    """ClickHouse was ahead, and a head was signed further still."""
    jobs = writer.run(3)
    project(archived)
    writer.run(2)
    project(archived, clickhouse_projection)
    ahead = writer.position
    writer.run(1)
    run(archive_once(msgspec.structs.replace(archived, seal_events=1000, seal_ms=HOUR_MS)))
    lose(writer)
    found = restored(archived)
    assert (found.plan.end, found.plan.lost_from, found.plan.lost_until) == (9, 10, ahead + 3)
    assert len(found.lost_jobs) == 2
    lost = postgres.execute("SELECT count(*), min(position), max(position) FROM lost_events")
    assert lost.fetchone() == (6, 10, ahead)
    assert clickhouse.query("SELECT max(position) FROM job_events").result_rows == [(9,)]
    writer.run(3)
    project(archived)
    report = verify(archived)
    assert report.ok, render(report)
    assert len(jobs) == 3


def test_a_redis_that_is_used_is_left_alone(archived: Settings, writer: LogWriter) -> None:
    writer.run(2)
    project(archived)
    with pytest.raises(ConflictError, match="up to position 6"):
        restored(archived)
    writer.client.delete(keys.meta(writer.prefix), keys.log(writer.prefix))
    with pytest.raises(ConflictError, match="without their log"):
        restored(archived)
    lose(writer)
    # A process that was started too early made an empty log.
    send(writer.client, [writer.scripts.open(writer.prefix, "early", 1)])
    assert restored(archived).plan.end == 6
    assert writer.position == 6


def test_nothing_known_is_said(archived: Settings, writer: LogWriter) -> None:
    lose(writer)
    with pytest.raises(ConflictError, match="nothing to restore"):
        restored(archived)
