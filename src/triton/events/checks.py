"""Owns what the last verification found, kept beside the log so that whoever watches learns of it."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec
import redis.asyncio

from triton import keys
from triton.events.client import server_time

#: `triton audit verify`, and `triton verify`.
Name: TypeAlias = Literal["audit_verify", "verify"]


class Check(msgspec.Struct, frozen=True):
    """`at` is microseconds since 1970, by the log server's clock."""

    name: str
    ok: bool
    at: int


class _Value(msgspec.Struct, frozen=True, array_like=True):
    ok: bool
    at: int


_decode: Final = msgspec.msgpack.Decoder(_Value).decode


async def note_check(client: redis.asyncio.Redis, namespace: str, name: Name, *, ok: bool) -> None:
    """Keep what a verification found; raises RedisError."""
    value = msgspec.msgpack.encode(_Value(ok, await server_time(client)))
    written: Any = client.hset(keys.checks(keys.prefix(namespace, 0)), name, value)
    await written


async def read_checks(client: redis.asyncio.Redis, namespace: str) -> list[Check]:
    """The last of each kind that ever ran; raises RedisError."""
    read: Any = client.hgetall(keys.checks(keys.prefix(namespace, 0)))
    found: dict[bytes, bytes] = await read
    return [
        Check(name.decode(), value.ok, value.at)
        for name, value in ((name, _decode(raw)) for name, raw in sorted(found.items()))
    ]
