"""Owns writing acts into the log from where no API runs: the first start, recovery, and commands."""

from __future__ import annotations

import asyncio
import uuid

from redis.exceptions import RedisError

from triton.audit.noting import note
from triton.errors import UnavailableError, no_answer
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.events.types import AdministrativeData
from triton.settings import Settings


def announce(
    settings: Settings, data: AdministrativeData, *, op: str, by: str, tenant: str = ""
) -> None:
    """Append an event; the log is made where there is none yet. Raises UnavailableError, LogError."""
    try:
        asyncio.run(_announce(settings, data, op, by, tenant))
    except RedisError as error:
        raise UnavailableError(no_answer("Redis", error)) from error


async def _announce(
    settings: Settings, data: AdministrativeData, op: str, by: str, tenant: str
) -> None:
    scripts = Scripts()
    async with connect_async(settings.redis_url) as client:
        place = (settings.namespace, settings.partitions)
        await Log.open(client, scripts, *place, uuid.uuid4().hex)
        await note(client, scripts, settings.namespace, data, op=op, by=by, tenant=tenant)
