"""Owns what the log's partitions say about their queues: how much waits, for how long, and who held them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, cast

import msgspec
import redis.asyncio

from triton import keys
from triton.events.client import server_time
from triton.events.heads import head_of

HoldState: TypeAlias = Literal["paused", "draining"]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """Who paused or drained a queue, why, and since when (microseconds since 1970)."""

    state: HoldState
    by: str
    reason: str
    since: int


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """One queue, all partitions together."""

    name: str
    ready: int
    due: int
    running: int
    #: Microseconds that the job which is next has waited; None where none waits.
    next_waited: int | None
    held: Held | None


class _Raw(NamedTuple):
    """What one partition says."""

    ready: int
    due: int
    leases: int
    first: list[bytes]
    held: bytes | None


_decode: Final = msgspec.msgpack.Decoder(Held).decode


async def queue_names(client: redis.asyncio.Redis, namespace: str, partitions: int) -> set[str]:
    """Every queue that ever held a job, is held by somebody, or that an actor's workers declared."""
    prefixes = [keys.prefix(namespace, partition) for partition in range(partitions)]
    async with client.pipeline(transaction=False) as pipe:
        for prefix in prefixes:
            pipe.smembers(keys.queues(prefix))
            pipe.hkeys(keys.held(prefix))
        pipe.hvals(keys.actors(prefixes[0]))
        found = await pipe.execute()
    return {name.decode() for names in found for name in names}


async def read_queues(
    client: redis.asyncio.Redis, namespace: str, partitions: int, names: Sequence[str]
) -> list[QueueState]:
    """The queues of these names, in their order."""
    prefixes = [keys.prefix(namespace, partition) for partition in range(partitions)]
    async with client.pipeline(transaction=False) as pipe:
        for name in names:
            for prefix in prefixes:
                pipe.zcard(keys.ready(prefix, name))
                pipe.zcard(keys.due(prefix, name))
                pipe.zcard(keys.leases(prefix, name))
                pipe.zrange(keys.ready(prefix, name), 0, 0)
                pipe.hget(keys.held(prefix), name)
        flat = await pipe.execute()
    now = await server_time(client)
    raws = [_Raw(*flat[at : at + 5]) for at in range(0, len(flat), 5)]
    waited = await _waited(client, prefixes, raws, now)
    return [
        _state(name, raws[at : at + partitions], waited[at : at + partitions])
        for name, at in zip(names, range(0, len(raws), partitions), strict=True)
    ]


async def _waited(
    client: redis.asyncio.Redis, prefixes: Sequence[str], raws: Sequence[_Raw], now: int
) -> list[int | None]:
    """How long the first job of each has waited, since the event that made it ready."""
    waited: list[int | None] = [None] * len(raws)
    places = [at for at, raw in enumerate(raws) if raw.first]
    if not places:
        return waited
    async with client.pipeline(transaction=False) as pipe:
        for at in places:
            pipe.hgetall(keys.job(prefixes[at % len(prefixes)], raws[at].first[0].decode()))
        heads = cast("list[Mapping[bytes, bytes]]", await pipe.execute())
    for at, fields in zip(places, heads, strict=True):
        waited[at] = max(0, now - head_of("", 0, fields).at) if fields else None
    return waited


def _state(name: str, raws: Sequence[_Raw], waited: Sequence[int | None]) -> QueueState:
    held = next((raw.held for raw in raws if raw.held is not None), None)
    return QueueState(
        name=name,
        ready=sum(raw.ready for raw in raws),
        due=sum(raw.due for raw in raws),
        running=sum(raw.leases for raw in raws),
        next_waited=max((each for each in waited if each is not None), default=None),
        held=None if held is None else _decode(held),
    )
