"""Owns which queue an actor's jobs go to when a request names none.

Workers write the queue of each of their actors into a hash beside the log; the API knows no actors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import redis.asyncio

from triton import keys

DEFAULT_QUEUE: Final = "default"
#: Triton's own actors, for the time before any worker of this log ran.
OWN: Final[Mapping[str, str]] = {"documents.extract": "documents"}


async def queue_of(client: redis.asyncio.Redis, namespace: str, actor: str) -> str:
    """The queue that the actor's workers listen to; `default` for an actor that none has declared."""
    declared = await client.hget(keys.actors(keys.prefix(namespace, 0)), actor)
    if isinstance(declared, bytes):
        return declared.decode()
    return OWN.get(actor, DEFAULT_QUEUE)
