"""Owns writing one administrative event from a command that works beside the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triton.events.types import AdministrativeData
    from triton.settings import Settings


def note_act(settings: Settings, event: AdministrativeData, *, op: str, tenant: str = "") -> None:
    """`op` names the act, so that a repeat within a day writes nothing. Raises UnavailableError,
    NotFoundError where there is no log."""
    from redis.exceptions import RedisError

    from triton.audit.noting import note
    from triton.cli.audit_reading import person
    from triton.cli.open_log import open_log
    from triton.errors import UnavailableError, no_answer
    from triton.events.client import connect_async
    from triton.events.scripts import Scripts

    async def write() -> None:
        client = connect_async(settings.redis_url)
        try:
            await open_log(client, settings)
            place = (client, Scripts(), settings.namespace)
            await note(*place, event, op=op, by=person(), tenant=tenant)
        finally:
            await client.aclose()

    try:
        asyncio.run(write())
    except RedisError as error:
        raise UnavailableError(no_answer("Redis", error)) from error
