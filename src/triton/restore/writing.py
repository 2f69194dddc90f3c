"""Owns writing a restored partition into Redis: everything first, and the permission to use it last.

While it is written, the layout of its keys is one that no script and no process accepts. Stopped anywhere, it
is repeated from its begin, in the same epoch.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

import msgspec
import redis.asyncio

from triton import keys
from triton.errors import ConflictError
from triton.events.client import send_async
from triton.events.entries import Entry
from triton.events.scripts import Scripts
from triton.restore.jobs import Jobs
from triton.restore.kept import Kept

#: Jobs, or entries, in one round trip.
_CHUNK: Final = 200
#: Keys that processes write into a log that they have just found empty: no jobs.
_HARMLESS: Final = ("meta", "actors", "signatures", "terms", "workers", "checks", "troubles")
_HARMLESS_BEGINS: Final = ("worker:", "bell:", "note:", "revoked:")
_pack: Final = msgspec.msgpack.Encoder().encode


class PartitionWriter:
    """Writes one partition."""

    def __init__(
        self, client: redis.asyncio.Redis, scripts: Scripts, namespace: str, partition: int
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._partition = partition
        self._prefix = keys.prefix(namespace, partition)

    async def check_empty(self) -> None:
        """Raises ConflictError where Redis holds a log that is used."""
        meta = keys.meta(self._prefix)
        found: Any = await self._client.hmget(meta, ["pos", "restoring"])
        pos, restoring = found
        if restoring is not None:
            return
        if int(pos or 0) > 0:
            raise self._taken(int(pos))
        names = [name async for name in self._names() if not self._is_harmless(name)]
        if names:
            raise ConflictError(
                f"Redis is not empty: it holds {len(names)} keys of partition {self._partition} without "
                "their log, "
                f"{names[0]} is one. Look where they are from, and delete them before you restore"
            )

    async def reserve(self, epoch: str, partitions: int) -> str:
        """Take the partition; answers the epoch that it shall have: of a restore that was begun before, the
        same. Raises ConflictError."""
        await self.check_empty()
        call = self._scripts.reserve(self._prefix, epoch, partitions)
        ((word, said),) = await send_async(self._client, [call])
        if word == b"taken":
            raise self._taken(int(said or 0))
        return str(said.decode())

    async def clear(self) -> None:
        """Remove what an attempt before has left."""
        meta = keys.meta(self._prefix)
        names = [name async for name in self._names() if name != meta]
        for start in range(0, len(names), _CHUNK):
            await self._client.delete(*names[start : start + _CHUNK])

    async def write(self, jobs: Jobs, first: int, tail: AsyncIterator[Entry]) -> int:
        """Write all keys but the last word, and the log from a position on. Answers how many entries it
        has."""
        chunk: list[Kept] = []
        for kept in jobs.kept(first):
            chunk.append(kept)
            if len(chunk) == _CHUNK:
                await self._jobs(chunk)
                chunk = []
        await self._jobs(chunk)
        if jobs.queues:
            await self._client.sadd(keys.queues(self._prefix), *sorted(jobs.queues))
        if jobs.held:
            held = {queue: _pack(state) for queue, state in jobs.held.items()}
            await self._client.hset(keys.held(self._prefix), mapping=held)  # type: ignore[arg-type]
        return await self._log(tail)

    async def end(self, epoch: str, fields: Mapping[str, str | int]) -> None:
        """Let the partition be used. Raises ConflictError where another restore was begun."""
        call = self._scripts.restored(self._prefix, epoch, list(fields.items()))
        (word,) = await send_async(self._client, [call])
        if word == b"other":
            raise ConflictError(
                f"another restore of partition {self._partition} was begun meanwhile: let one of them end"
            )

    async def _jobs(self, chunk: Iterable[Kept]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for kept in chunk:
                self._job(pipe, kept)
            await pipe.execute()

    def _job(self, pipe: Any, kept: Kept) -> None:
        prefix, job = self._prefix, kept.job
        pipe.hset(keys.job(prefix, job), mapping=kept.head)
        if kept.body:
            pipe.set(keys.body(prefix, job), kept.body, px=kept.ttl or None)
        if kept.ttl:
            pipe.pexpire(keys.job(prefix, job), kept.ttl)
        if kept.steps:
            pipe.hset(keys.steps(prefix, job), mapping=kept.steps)
        places = {"pending": keys.ready, "scheduled": keys.due, "processing": keys.leases}
        if kept.state in places:
            pipe.zadd(places[kept.state](prefix, kept.queue), {job: kept.score})
        if kept.expires:
            pipe.zadd(keys.expires(prefix), {job: kept.expires})
        if kept.unique:
            pipe.set(keys.unique(prefix, kept.unique), job, px=kept.unique_ttl or None)

    async def _log(self, tail: AsyncIterator[Entry]) -> int:
        name, count = keys.log(self._prefix), 0
        chunk: list[Entry] = []
        async for entry in tail:
            chunk.append(entry)
            if len(chunk) == _CHUNK:
                await self._entries(name, chunk)
                count += len(chunk)
                chunk = []
        await self._entries(name, chunk)
        return count + len(chunk)

    async def _entries(self, name: str, chunk: Iterable[Entry]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for entry in chunk:
                pipe.execute_command("XADD", name, f"{entry.position}-0", *entry.fields)
            await pipe.execute()

    async def _names(self) -> AsyncIterator[str]:
        async for name in self._client.scan_iter(match=f"{self._prefix}*", count=1000):
            yield name.decode()

    def _is_harmless(self, name: str) -> bool:
        rest = name.removeprefix(self._prefix)
        return rest in _HARMLESS or rest.startswith(_HARMLESS_BEGINS)

    def _taken(self, position: int) -> ConflictError:
        return ConflictError(
            f"Redis is not empty: partition {self._partition} has a log up to position {position}. A restore "
            "would overwrite it; if its tail was lost, run `triton log status`"
        )
