"""Owns writing administrative events: those of the log that belong to no job."""

from __future__ import annotations

from typing import cast

import redis.asyncio

from triton import keys
from triton.events.client import send_async
from triton.events.scripts import NOTE_MS, Scripts
from triton.events.types import AdministrativeData


async def note(
    client: redis.asyncio.Redis,
    scripts: Scripts,
    namespace: str,
    data: AdministrativeData,
    *,
    op: str,
    by: str,
    tenant: str = "",
    partition: int = 0,
    correlation: str = "",
    known_ms: int = NOTE_MS,
) -> int:
    """Append one and answer its position; the log is open.

    `op` names it: within `known_ms` (a day) the same op again appends nothing and answers the same. `by` is
    who caused it (`user:NAME`, `key:ID`, `system`), `tenant` whom it concerns, empty for all; `correlation`
    is the id of the request that it came of. What concerns no one partition goes into the first. Raises
    RedisError.
    """
    call = scripts.note(
        keys.prefix(namespace, partition),
        data,
        op=op,
        by=by,
        tenant=tenant,
        correlation=correlation,
        known_ms=known_ms,
    )
    return cast("int", (await send_async(client, [call]))[0])
