"""Owns that `triton up` begins no second log beside one that only the archive still holds."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from redis.exceptions import RedisError

from triton import keys
from triton.archive import open_archive
from triton.errors import StartupError, UnavailableError, no_answer
from triton.events.client import connect
from triton.evidence.lineage import lives_in
from triton.settings import Settings

_TIMEOUT: Final = 10
_KNOWS: Final = (
    "SELECT EXISTS (SELECT FROM checkpoints WHERE position > 0) OR EXISTS (SELECT FROM log_epochs)"
)


def check_new(settings: Settings) -> None:
    """Raises StartupError where Redis and PostgreSQL know no event, and the archive has a log of this
    namespace: a key or a job would begin another. Raises UnavailableError.

    The archive is read only where both are empty. Call it before anything writes an event.
    """
    if _any_event(settings) or _postgres_knows(settings):
        return
    archive = open_archive(settings.archive_url)
    for partition in range(settings.partitions):
        if lives := lives_in(archive, settings.namespace, partition):
            raise StartupError(
                f"the archive holds a log of the namespace {settings.namespace!r} (partition {partition}, "
                f"epoch {lives[-1].tree.epoch}) that Redis and PostgreSQL know nothing of: run "
                "`triton restore` first, or begin a new log with an empty archive or another TRITON_NAMESPACE"
            )


def _any_event(settings: Settings) -> bool:
    client = connect(settings.redis_url)
    prefixes = [keys.prefix(settings.namespace, one) for one in range(settings.partitions)]
    try:
        ends: list[Any] = [client.hget(keys.meta(one), "pos") for one in prefixes]
        return any(int(end or 0) > 0 for end in ends)
    except RedisError as error:
        raise UnavailableError(no_answer("Redis", error)) from error
    finally:
        client.close()


def _postgres_knows(settings: Settings) -> bool:
    try:
        with psycopg.connect(settings.database_url, connect_timeout=_TIMEOUT) as connection:
            row = connection.execute(_KNOWS).fetchone()
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    return bool(row and row[0])
