"""Owns that what `triton up` is given can be used, seen before anything of its own is started."""

from __future__ import annotations

from typing import Final

import psycopg
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from triton.archive import open_archive
from triton.errors import UnavailableError, no_answer
from triton.events.client import connect
from triton.settings import Settings

#: Seconds that each has to answer.
_TIMEOUT: Final = 5


def check_outside(settings: Settings) -> None:
    """Raises ConfigurationError for what cannot be used, UnavailableError where nobody answers."""
    _check_lists(settings)
    if settings.archive_url and not settings.archive_url.startswith("s3://"):
        # What an s3:// needs is looked up at its first use: that takes a second.
        open_archive(settings.archive_url)
    if settings.redis_url:
        _redis(settings.redis_url)
    if settings.database_url:
        _postgres(settings.database_url)
    if settings.clickhouse_url:
        _clickhouse(settings.clickhouse_url)


def _check_lists(settings: Settings) -> None:
    """What a role would end for, again and again. Each is loaded where it is set only."""
    if settings.cors_origins:
        from triton.api.cors import origins_of

        origins_of(settings.cors_origins)
    if settings.witnesses:
        from triton.evidence.witnesses import parse_witnesses

        parse_witnesses(settings.witnesses)


def _redis(url: str) -> None:
    client = connect(
        url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 1)
    )
    try:
        client.ping()
    except RedisError as error:
        raise UnavailableError(no_answer("Redis", error)) from error
    finally:
        client.close()


def _postgres(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=_TIMEOUT).close()
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error


def _clickhouse(url: str) -> None:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        clickhouse_connect.get_client(dsn=url, connect_timeout=_TIMEOUT).close()
    except ClickHouseError as error:
        raise UnavailableError(no_answer("ClickHouse", error)) from error
