"""Owns how often processes without a port met with trouble: counted beside the log, for whoever watches."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import redis.asyncio
from redis.exceptions import RedisError

from triton import keys

#: A person has to decide; an engine is away; another process took the lease; migrations are missing.
Kind: TypeAlias = Literal["halted", "waiting", "replaced", "no_schema"]
_APART: Final = ":"
#: Seconds that counting may take of who has other things to mend.
_LONGEST: Final = 1.0


class Trouble(NamedTuple):
    """How often since the log began. `role` is `projector`, `archiver` or `webhooks`."""

    role: str
    kind: str
    times: int


async def note_trouble(client: redis.asyncio.Redis, namespace: str, role: str, kind: Kind) -> None:
    """Count one. Where Redis is away it is not counted: that shows elsewhere."""
    counted: Any = client.hincrby(keys.troubles(keys.prefix(namespace, 0)), role + _APART + kind, 1)
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(_LONGEST):
            await counted


async def read_troubles(client: redis.asyncio.Redis, namespace: str) -> list[Trouble]:
    """All that were ever met with. Raises RedisError."""
    read: Any = client.hgetall(keys.troubles(keys.prefix(namespace, 0)))
    found: dict[bytes, bytes] = await read
    return [
        Trouble(role, kind, int(times))
        for name, times in sorted(found.items())
        for role, _, kind in [name.decode().partition(_APART)]
    ]
