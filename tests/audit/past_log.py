"""Owns a log of two partitions with random lives, a part of it archived and trimmed, and how it is read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import redis
from tests.projections.log_writer import LogWriter

from archived_log import ArchivedLog
from triton import keys
from triton.cli.open_log import open_log
from triton.events.client import connect_async
from triton.events.codec import decode_entry
from triton.events.envelope import Event
from triton.history import History, open_past
from triton.settings import Settings

T = TypeVar("T")


class PastLog:
    """`events` are all events of all partitions, as they were before anything was trimmed."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self.settings = settings
        self.client = client
        self.events: list[Event] = []

    def read_all(self) -> list[Event]:
        """What the log holds now, by partition."""
        found = []
        for partition in range(self.settings.partitions):
            key = keys.log(keys.prefix(self.settings.namespace, partition))
            raw = self.client.execute_command("XRANGE", key, "-", "+")
            found += [decode_entry(partition, each, fields) for each, fields in raw]
        return found

    def ask(self, question: Callable[[History], Awaitable[T]]) -> T:
        """The answer to a question that is put to the one reader."""

        async def run() -> T:
            client = connect_async(self.settings.redis_url)
            try:
                log = await open_log(client, self.settings)
                return await question(History.over(log, open_past(self.settings)))
            finally:
                await client.aclose()

        return asyncio.run(asyncio.wait_for(run(), 30))


@contextmanager
def lives(
    redis_url: str, namespace: str, folder: Path, seed: int, events: int
) -> Iterator[PastLog]:
    """Random lives in two partitions, of each a third archived and trimmed."""
    settings = msgspec.structs.replace(
        Settings(redis_url=redis_url, archive_url=folder.as_uri()),
        namespace=namespace,
        partitions=2,
    )
    chance = random.Random(seed)
    with redis.Redis.from_url(redis_url) as client:
        client.set_response_callback("XRANGE", lambda response, **_: response)
        log = PastLog(settings, client)
        for partition in range(2):
            with LogWriter(redis_url, namespace, 2, partition) as writer:
                jobs = writer.submit

                def placed(
                    job: str = "", *, jobs: object = jobs, at: int = partition, **given: object
                ) -> str:
                    while not job or keys.partition_of(job, 2) != at:
                        job = f"job-{chance.randrange(10**6)}"
                    return jobs(job, **given)  # type: ignore[operator,no-any-return]

                writer.submit = placed  # type: ignore[method-assign]
                writer.history(seed + partition, events)
                for state in ("paused", "open", "draining"):
                    hold = writer.scripts.hold(writer.prefix, "default", state, by="user:ann")
                    writer.send(hold)
        log.events = log.read_all()
        for partition in range(2):
            archived = ArchivedLog(client, _store(folder), namespace, partition, block_events=16)
            archived.seal_all([events // 6, events // 3])
            archived.trim()
        yield log


def _store(folder: Path) -> object:
    from archived_log import folder_archive

    return folder_archive(folder)
