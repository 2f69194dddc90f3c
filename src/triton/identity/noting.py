"""Owns how acts of identity reach the log: as administrative events, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import redis.asyncio

from triton.audit.noting import note
from triton.events.scripts import Scripts
from triton.events.types import AdministrativeData

#: Who does what nobody in particular does.
SYSTEM = "system:identity"


class Note(Protocol):
    """Writes an event; `op` names it, so that a repeat within a day writes nothing. Raises RedisError."""

    def __call__(
        self, data: AdministrativeData, *, op: str, by: str, tenant: str
    ) -> Awaitable[int]: ...


def nothing() -> str:
    """The id of a request where there is none: in commands, and at the start."""
    return ""


def noting(
    client: redis.asyncio.Redis,
    scripts: Scripts,
    namespace: str,
    *,
    request: Callable[[], str] = nothing,
) -> Note:
    """`request` answers the id of the request that is being answered."""

    async def write(data: AdministrativeData, *, op: str, by: str, tenant: str) -> int:
        return await note(
            client, scripts, namespace, data, op=op, by=by, tenant=tenant, correlation=request()
        )

    return write
