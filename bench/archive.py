"""Owns what the archive costs: sealing beside writing, bytes per event, and Redis that stays small."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import psycopg
import redis

from bench import history
from bench.scale import Scale
from bench.servers import engines
from bench.table import Goal, Measure, Sample, lines
from triton import migrate
from triton.archive import open_archive
from triton.checkpoints.lease import Lease
from triton.events.client import connect, connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.evidence.archiver import Archiver
from triton.evidence.ledger import ARCHIVER
from triton.evidence.signing import generated_signer
from triton.settings import Settings

T = TypeVar("T")
_PAGE = 500
#: Events that the small Redis keeps, and how many times as many are written.
_STEADY, _TIMES = 10_000, 20

RATES = (
    Measure(
        "the archiver, with Redis, PostgreSQL and a folder",
        "events/s",
        "archiver",
        "written",
        Goal("ratio", "at least", 1.0),
    ),
    Measure(
        "archive per event: segments, manifests, tiles, heads",
        "bytes",
        "bytes",
        goal=Goal("figure", "at most", 40),
        digits=1,
    ),
)
MEMORY = (
    Measure(
        f"Redis memory after {_TIMES} times its steady size was written",
        "MB",
        "after",
        "steady",
        Goal("ratio", "at most", 1.1),
        2,
    ),
)


def run(scale: Scale) -> list[str]:
    samples: list[Sample] = []
    with engines() as started:
        migrate.up(started.database_url, started.clickhouse_url)
        with connect(started.redis_url) as client:
            for turn in range(scale.repeats):
                name = f"bench{turn}"
                begin = time.perf_counter()
                events = history.write(client, name, scale.events)
                written = events / (time.perf_counter() - begin)
                with _settings(started.redis_url, started.database_url, name) as settings:
                    seconds, size = asyncio.run(_archived(settings))
                samples.append(
                    {"written": written, "archiver": events / seconds, "bytes": size / events}
                )
                client.flushall()
            with _settings(started.redis_url, started.database_url, "small") as settings:
                memory = _kept_small(client, settings)
    return [
        *lines(RATES, samples, samples, "written at"),
        *lines(MEMORY, [memory], [memory], "steady"),
    ]


class _settings:  # noqa: N801
    """Settings of an archiver with a folder of its own."""

    def __init__(self, redis_url: str, database_url: str, namespace: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="triton-bench-")
        path = Path(self._folder.name)
        self._settings = Settings(
            redis_url=redis_url,
            database_url=database_url,
            archive_url=(path / "archive").as_uri(),
            data=str(path),
            namespace=namespace,
            seal_ms=0,
            keep_events=0,
            keep_ms=0,
        )

    def __enter__(self) -> Settings:
        return self._settings

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


async def _archived(settings: Settings) -> tuple[float, int]:
    """Seconds in which an archiver catches up on the log, and the bytes that it leaves."""
    begin = time.perf_counter()
    await _with_archiver(settings, lambda archiver: archiver.turn())
    seconds = time.perf_counter() - begin
    archive = open_archive(settings.archive_url)
    return seconds, sum(archive.size(key) for key in archive.list(f"log/{settings.namespace}/p0/"))


async def _with_archiver(settings: Settings, act: Callable[[Archiver], object]) -> None:
    client = connect_async(settings.redis_url)
    try:
        log = await Log.open(client, Scripts(), settings.namespace, 1, "bench")
        async with await psycopg.AsyncConnection.connect(
            settings.database_url, autocommit=True
        ) as connection:
            await connection.execute("TRUNCATE checkpoints, segments, tree_heads")
            lease = await Lease.acquire(connection, ARCHIVER, 0, epoch=log.epochs[0], owner="bench")
            assert lease is not None
            signer = generated_signer(settings.origin, Path(settings.data) / "key.pem")
            archive = open_archive(settings.archive_url)
            archiver = Archiver(log, archive, lease, signer, settings, projectors=())
            await archiver.start()
            await cast("asyncio.Future[None]", act(archiver))
            await archiver.follower.published()
    finally:
        await client.aclose()


def _kept_small(client: redis.Redis, settings: Settings) -> Sample:
    """Memory beside an archiver: once it is in its stride, and after many times as much was written."""
    settings = msgspec.structs.replace(
        settings, seal_events=2_000, keep_events=_STEADY - 2_000, result_ms=1_000
    )
    # Failed and cancelled jobs stay for as long as they can be requeued: here, for as long as a result.
    writing = history.History(client, settings.namespace, Scripts(failed_ttl_ms=1_000))
    found: dict[str, float] = {}

    async def act(archiver: Archiver) -> None:
        for part in range(2 * (_TIMES + 2)):
            until = (part + 1) * _STEADY // 2
            while writing.position() < until:
                await asyncio.to_thread(writing.turn)
            await archiver.turn()
            if part == 3 or part == 2 * (_TIMES + 2) - 1:
                await asyncio.sleep(1.5)  # results of the last second leave
                await asyncio.to_thread(client.execute_command, "MEMORY", "PURGE")
                used = await asyncio.to_thread(_memory, client)
                found["steady" if part == 3 else "after"] = used

    asyncio.run(_with_archiver(settings, act))
    return found


def _memory(client: redis.Redis) -> float:
    """Of the data, in megabytes."""
    info = cast("dict[str, float]", client.info("memory"))
    return info["used_memory_dataset"] / 1e6
