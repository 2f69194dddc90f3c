"""Owns which queue an actor's jobs go to when a request names none.

Workers write the queue of each of their actors into a hash beside the log; the API knows no actors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import redis.asyncio

from triton import keys

DEFAULT_QUEUE: Final = "default"
#: Triton's own actors, for the time before any worker of this log ran.
OWN: Final[Mapping[str, str]] = {"documents.extract": "documents"}


async def queues_of(
    client: redis.asyncio.Redis, namespace: str, actors: Collection[str]
) -> dict[str, str]:
    """The queue that each actor's workers listen to; `default` for an actor that none has declared."""
    names = sorted(set(actors))
    if not names:
        return {}
    declared = await client.hmget(keys.actors(keys.prefix(namespace, 0)), names)
    return {
        name: queue.decode() if isinstance(queue, bytes) else OWN.get(name, DEFAULT_QUEUE)
        for name, queue in zip(names, declared, strict=True)
    }
