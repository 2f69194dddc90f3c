"""Owns what the API knows of actors: the queue of each, what it can be called with, its terms.

Workers write all of it into hashes beside the log; the API itself imports no actors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import redis.asyncio

from triton import keys
from triton.erasure.announced import sealing_for
from triton.erasure.keyring import Keyring
from triton.erasure.messages import Sealing
from triton.signature import Signature, decode
from triton.submit import DEFAULT_QUEUE
from triton.terms import decode_declared

#: Triton's own actors, for the time before any worker of this log ran.
OWN: Final[Mapping[str, str]] = {"documents.extract": "documents"}


class Declared(NamedTuple):
    """What the workers of an actor said of it: its queue, what it can be called with, if they know, and its
    options about terms."""

    queue: str
    signature: Signature | None
    terms: Mapping[str, Any]


async def declared(
    client: redis.asyncio.Redis, namespace: str, actors: Collection[str]
) -> dict[str, Declared]:
    """Each actor as its workers declared it; in queue `default` where none has."""
    names = sorted(set(actors))
    if not names:
        return {}
    first = keys.prefix(namespace, 0)
    async with client.pipeline(transaction=False) as pipe:
        pipe.hmget(keys.actors(first), names)
        pipe.hmget(keys.signatures(first), names)
        pipe.hmget(keys.terms(first), names)
        queues, signatures, terms = await pipe.execute()
    return {
        name: Declared(
            queue.decode() if queue else OWN.get(name, DEFAULT_QUEUE),
            decode(signature),
            decode_declared(said),
        )
        for name, queue, signature, said in zip(names, queues, signatures, terms, strict=True)
    }


def sealing_of(keyring: Keyring, actors: Mapping[str, Declared]) -> Sealing | None:
    """What seals calls of these actors; None where none takes personal data. It may wait for the key store:
    use it in a thread. Raises ConfigurationError."""
    return sealing_for(
        keyring, {name: (known.signature, known.terms) for name, known in actors.items()}
    )
