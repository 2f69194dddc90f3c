"""Owns what a living worker says of itself beside its leases, and the list of all who live."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
import redis.asyncio

from triton import keys
from triton.events.heads import head_of


class About(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process in its own words, as its heartbeat writes them."""

    host: str
    pid: int
    #: Microseconds since 1970 when it began, by its own clock.
    since: int
    threads: int
    queues: list[str]
    #: Of Triton.
    version: str
    #: (job, attempt) of what it holds.
    jobs: list[tuple[str, int]]
    #: Queue -> jobs that it ended in the last minute.
    ended: dict[str, int]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A job under a worker's lease; `since` is microseconds since 1970, by the log server's clock."""

    job: str
    attempt: int
    actor: str
    queue: str
    since: int


class LiveWorker(msgspec.Struct, frozen=True, kw_only=True):
    worker: str
    about: About
    running: list[Running]


encode_about: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(About).decode


async def read_workers(
    client: redis.asyncio.Redis, namespace: str, partitions: int
) -> list[LiveWorker]:
    """Every worker whose heart beat within its lease, and what the log says it runs."""
    first = keys.prefix(namespace, 0)
    listed = cast("list[bytes]", await client.zrange(keys.workers(first), 0, -1))
    names = [name.decode() for name in listed]
    if not names:
        return []
    said = cast(
        "list[bytes | None]", await client.mget([keys.worker(first, name) for name in names])
    )
    found = {name: _decode(raw) for name, raw in zip(names, said, strict=True) if raw is not None}
    jobs = [held for about in found.values() for held in about.jobs]
    async with client.pipeline(transaction=False) as pipe:
        for job, _ in jobs:
            prefix = keys.prefix(namespace, keys.partition_of(job, partitions))
            pipe.hgetall(keys.job(prefix, job))
        heads = dict(zip(jobs, await pipe.execute(), strict=True)) if jobs else {}
    return [
        LiveWorker(worker=name, about=about, running=_running(about, heads))
        for name, about in sorted(found.items())
    ]


def _running(about: About, heads: dict[tuple[str, int], Any]) -> list[Running]:
    running = []
    for job, held in about.jobs:
        fields = heads[job, held]
        head = head_of(job, 0, fields) if fields else None
        if head is not None and head.state == "processing" and head.attempt == held:
            running.append(
                Running(
                    job=job,
                    attempt=held,
                    actor=head.actor,
                    queue=head.queue,
                    since=head.started,
                )
            )
    return running
