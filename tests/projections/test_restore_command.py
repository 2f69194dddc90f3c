"""`triton restore` as an operator types it, over three partitions: numbering and epochs go on in each."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from archiving import with_archive
from log_writer import LogWriter
from projecting import run

from triton import keys
from triton.archiving.running import run_archiver
from triton.errors import StartupError
from triton.events.types import Completed
from triton.projections.running import run_projectors
from triton.settings import Settings
from triton.stack.new_log import check_new

PARTITIONS = 3


def restore(settings: Settings, *arguments: str, code: int = 0) -> str:
    return triton(settings, "restore", *arguments, code=code)


def triton(settings: Settings, *arguments: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "triton", *arguments],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


async def known(settings: Settings, database: psycopg.Connection, ends: list[int]) -> None:
    """Until all that was written is projected and archived."""
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(each(settings, stop)) for each in (run_projectors, run_archiver)]
    query = "SELECT count(*) FROM checkpoints WHERE position = ANY(%s)"
    for _ in range(3000):
        (done,) = database.execute(query, (ends,)).fetchone() or (0,)
        if done == 3 * PARTITIONS:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*tasks)


def test_three_partitions_are_restored_by_the_command(
    settings: Settings, redis_client: object, postgres: psycopg.Connection, tmp_path: Path
) -> None:
    settings = with_archive(
        msgspec.structs.replace(settings, partitions=PARTITIONS), tmp_path, seal_ms=0
    )
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                LogWriter(settings.redis_url, settings.namespace, PARTITIONS, partition)
            )
            for partition in range(PARTITIONS)
        ]
        for count, writer in enumerate(writers, 3):
            jobs = (f"job-{n}" for n in range(10_000))
            for job in [j for j in jobs if keys.partition_of(j, PARTITIONS) == count - 3][:count]:
                writer.submit(job)
            writer.finish(writer.claim(1)[0], Completed(result=1))
        ends = [writer.position for writer in writers]
        assert len(set(ends)) == PARTITIONS
        run(known(settings, postgres, ends))
        said = restore(settings, "--reason", "a test", "--yes", code=1)
        assert "Redis is not empty" in said

        for writer in writers:
            for name in list(writer.client.scan_iter(writer.prefix + "*")):
                writer.client.delete(name)
        # What runs on an emptied server says so there.
        writers[0].client.hset(keys.troubles(writers[0].prefix), "archiver:halted", 1)
        plan = json.loads(restore(settings, "--reason", "lost", "--dry-run", "--json"))
        assert [one["end"] for one in plan["partitions"]] == ends
        assert not list(writers[0].client.scan_iter(writers[0].prefix + "log"))
        adopt = ("log", "adopt", "--reason", "lost", "--yes")
        assert "`triton restore` brings it back" in triton(settings, *adopt, code=2)
        assert "nobody can be asked" in restore(settings, "--reason", "lost", code=2)

        done = json.loads(
            restore(settings, "--reason", "lost", "--yes", "--by", "user:ann", "--json")
        )
        epochs = [one["epoch"] for one in done["restored"]]
        assert len(set(epochs)) == PARTITIONS
        for count, (writer, end, epoch) in enumerate(zip(writers, ends, epochs, strict=True), 3):
            meta: Any = writer.client.hgetall(keys.meta(writer.prefix))
            assert (int(meta[b"pos"]), meta[b"epoch"].decode()) == (end, epoch)
            waiting = [claimed.job for claimed in writer.claim(10)]
            assert len(waiting) == count - 1
            assert {keys.partition_of(job, PARTITIONS) for job in waiting} == {count - 3}
            assert writer.position == end + count - 1
        rows = postgres.execute("SELECT partition, epoch FROM log_epochs ORDER BY 1").fetchall()
        assert rows == list(enumerate(epochs))
        ends = [writer.position for writer in writers]
        run(known(settings, postgres, ends))
        found = postgres.execute("SELECT DISTINCT partition, epoch FROM checkpoints").fetchall()
        assert sorted(found) == list(enumerate(epochs))

        for writer in writers:
            for name in list(writer.client.scan_iter(writer.prefix + "*")):
                writer.client.delete(name)
        check_new(settings)
        postgres.execute("TRUNCATE checkpoints, log_epochs")
        postgres.commit()
        with pytest.raises(StartupError, match=r"partition 0, epoch .* run `triton restore` first"):
            check_new(settings)
        check_new(msgspec.structs.replace(settings, namespace=f"{settings.namespace}-2"))

    # Nothing is left but the archive. No stack runs: one that is new would write events before the restore.
    away = {"redis_url": "", "database_url": "", "clickhouse_url": ""}
    alone = msgspec.structs.replace(settings, data=str(tmp_path / "stack"), **away)
    done = json.loads(restore(alone, "--reason", "all is lost", "--yes", "--json"))
    assert [one["plan"]["end"] for one in done["restored"]] == ends
    assert all(one["jobs"] for one in done["restored"])
