"""Owns that an archiver lets segments expire: it looks now and then, and goes on with what was begun."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
from redis.exceptions import RedisError

from triton.archive import ArchiveStore
from triton.checkpoints.keeping import pause
from triton.errors import TritonError
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.expiry.expiring import Done, Expirer
from triton.history import History, open_past
from triton.observe.logger import get_logger
from triton.postgres import connected
from triton.settings import Settings

#: Seconds until the next look while something waits for its event to be sealed.
_SOON: Final = 30.0


async def run_expiry(
    log: Log,
    archive: ArchiveStore,
    settings: Settings,
    stop: asyncio.Event,
    *,
    now: int | None = None,
) -> None:
    """Until `stop` is set, every TRITON_EXPIRE_MS; never where that is 0. What fails is said, and tried again
    with the next look. `now`: microseconds since 1970, default the server's."""
    if not settings.expire_ms:
        return
    say = get_logger("triton.archiver")
    while not stop.is_set():
        seconds = settings.expire_ms / 1000
        try:
            if await _look(log, archive, settings, now):
                seconds = min(seconds, _SOON)
        except psycopg.errors.UndefinedTable:
            pass  # the archiver itself says that there is no schema
        except (TritonError, RedisError, psycopg.Error, OSError) as error:
            say.warning("archiver.expiry_waiting", error=str(error), again_in_seconds=seconds)
        await pause(stop, seconds)


async def _look(log: Log, archive: ArchiveStore, settings: Settings, at: int | None) -> list[Done]:
    """What is still under way after everything was done that can be."""
    now = Log(log.client, log.namespace, log.epochs)
    await now.refresh()
    history = History.over(now, open_past(settings, rows=False))
    async with connected(settings.database_url) as connection:
        expirer = Expirer(history, connection, archive, Scripts())
        found = [
            one
            for partition in range(history.partitions)
            for one in await expirer.step(partition, now=at)
        ]
    return [one for one in found if one.state != "expired"]
