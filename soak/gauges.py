"""Owns the look from outside at how far each part is. Every look is short, also when a part is away."""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import Any, Final, LiteralString, cast

import msgspec
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from soak.platform import Platform
from triton import keys

#: Seconds between two looks.
INTERVAL: Final = 0.1


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """Positions are summed over the partitions; -1 where nobody answered."""

    log: int = -1
    #: The last that was seen of the log.
    last_log: int = 0
    postgres: int = -1
    clickhouse: int = -1
    #: The last sealed one.
    archive: int = -1
    #: Bytes that the server's data takes.
    memory: int = -1
    api: bool = False
    #: Rows of the outbox, and the age in seconds of the oldest.
    outbox: int = -1
    outbox_age: float = 1e9
    #: Jobs that wait, are scheduled, or run.
    jobs: int = -1


class Gauges:
    """Reads a platform's gauges, ten times a second at most."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._client = redis.Redis.from_url(
            platform.settings.redis_url, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)
        )
        self._database: psycopg.Connection[Any] | None = None
        self._seen = 0.0
        self._last = Readings()

    def read(self) -> Readings:
        """The last readings, or new ones when those are old."""
        if time.monotonic() - self._seen >= INTERVAL:
            log, jobs, memory = self._log()
            checkpoints = self._checkpoints()
            rows, age = self._outbox()
            self._last = Readings(
                log=log,
                last_log=max(log, self._last.last_log),
                postgres=checkpoints.get("postgres", -1),
                clickhouse=checkpoints.get("clickhouse", -1),
                memory=memory,
                archive=checkpoints.get("archiver", -1),
                api=self._api(),
                outbox=rows,
                outbox_age=age,
                jobs=jobs,
            )
            self._seen = time.monotonic()
        return self._last

    def close(self) -> None:
        self._client.close()
        if self._database is not None:
            self._database.close()

    def _log(self) -> tuple[int, int, int]:
        settings = self._platform.settings
        prefixes = [keys.prefix(settings.namespace, p) for p in range(settings.partitions)]
        try:
            with self._client.pipeline(transaction=True) as pipe:
                for prefix in prefixes:
                    pipe.hget(keys.meta(prefix), "pos")
                    pipe.smembers(keys.queues(prefix))
                pipe.info("memory")
                *found, memory = pipe.execute()
                position = sum(int(value or 0) for value in found[::2])
                for prefix, queues in zip(prefixes, found[1::2], strict=True):
                    for queue in cast("set[bytes]", queues):
                        for kind in (keys.ready, keys.due, keys.leases):
                            pipe.zcard(kind(prefix, queue.decode()))
                return position, sum(pipe.execute()), memory["used_memory_dataset"]
        except redis.RedisError:
            return -1, -1, -1

    def _checkpoints(self) -> dict[str, int]:
        rows = self._query("SELECT projector, sum(position) FROM checkpoints GROUP BY 1")
        return {name: int(position) for name, position in rows}

    def _outbox(self) -> tuple[int, float]:
        for rows, age in self._query(
            "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)"
            " FROM triton_outbox"
        ):
            return rows, float(age)
        return -1, 1e9

    def _query(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """No row where PostgreSQL does not answer."""
        try:
            if self._database is None:
                self._database = psycopg.connect(
                    self._platform.settings.database_url, autocommit=True, connect_timeout=2
                )
            return self._database.execute(statement).fetchall()
        except psycopg.Error:
            if self._database is not None:
                self._database.close()
            self._database = None
            return []

    def _api(self) -> bool:
        settings = self._platform.settings
        connection = http.client.HTTPConnection(settings.host, settings.port, timeout=0.3)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            found = connection.getresponse().status == 200
            connection.close()
            return found
        connection.close()
        return False
