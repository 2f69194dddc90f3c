"""Owns reading one job's past: page by page, from the index in PostgreSQL and the log in Redis.

The index says where a job's events are, up to the projector's checkpoint; the log has their exact bytes.
What the projector has not reached is read from the log by range. An event whose entry left Redis is shown
as the index has it. Every page says up to which position it is complete, so pages join without a gap, to
one another and to the ring.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from triton import keys
from triton.errors import HoleError
from triton.events.envelope import Event, to_microseconds
from triton.events.log import Entry, Log
from triton.events.render import Shown, show, show_entry
from triton.events.types import TYPES, EventData

#: The projector whose index this is.
PROJECTOR: Final = "postgres"
#: Events of one page, and entries of one read of the log.
PAGE: Final = 500
_RANGE: Final = 1000
#: Pages that are read at the same time: one client with a long past must not hold up all others.
_AT_ONCE: Final = 8
#: Seconds for which an index that did not answer is left alone.
_REST: Final = 2.0
_TIMEOUT: Final = 1.0

_log = structlog.get_logger("triton.feed")


class Page(NamedTuple):
    """The job's events after some position up to `position`, all of them."""

    events: list[Shown]
    position: int


class History:
    """Reads for every stream and request of one process. `pool` may have no server behind it for a while."""

    def __init__(
        self,
        log: Callable[[int], Log],
        pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]],
        source: str,
    ) -> None:
        self._log = log
        self._pool = pool
        self._source = source
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._index_rests_until = 0.0

    async def page(
        self,
        job: str,
        partition: int,
        after: int,
        *,
        version: int = 0,
        until: int,
        limit: int = PAGE,
    ) -> Page:
        """The next events of the job after a position, and after a version where that is known.

        Reads the log up to `until` at most; one page may be empty although more follows, as long as its
        position is below `until`. Raises HoleError where entries that are not in the index left the log,
        RedisError.
        """
        async with self._turn:
            page = await self._indexed(job, partition, after, version, limit)
            if page is not None and page.position > after:
                return page
            return await self._logged(job, partition, after, until, limit)

    async def _indexed(
        self, job: str, partition: int, after: int, version: int, limit: int
    ) -> Page | None:
        """None where the index cannot be asked, or has no checkpoint in this epoch."""
        if time.monotonic() < self._index_rests_until:
            return None
        try:
            rows = await self._rows(job, partition, after, version, limit)
        except (psycopg.Error, PoolTimeout) as error:
            self._index_rests_until = time.monotonic() + _REST
            _log.warning("the index of events does not answer", reason=str(error).strip())
            return None
        if not rows or rows[0]["complete_to"] is None:
            return None
        found = [row for row in rows if row["position"] is not None]
        complete_to: int = rows[0]["complete_to"]
        position = found[-1]["position"] if len(found) == limit else complete_to
        return Page(await self._exact(job, partition, found), position)

    async def _rows(
        self, job: str, partition: int, after: int, version: int, limit: int
    ) -> list[DictRow]:
        values = {
            "job": job,
            "partition": partition,
            "projector": PROJECTOR,
            "epoch": self._log(partition).epochs[partition],
            "after": after,
            "version": version,
            "limit": limit,
        }
        async with (
            self._pool.connection(timeout=_TIMEOUT) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(_statement(), values)
            return await cursor.fetchall()

    async def _exact(self, job: str, partition: int, rows: Sequence[DictRow]) -> list[Shown]:
        """The events at the rows' positions from the log; from the row where the entry is gone."""
        log = self._log(partition)
        key = keys.log(log.prefix(partition))
        async with log.client.pipeline(transaction=False) as pipe:
            for row in rows:
                at = f"{row['position']}-0"
                pipe.execute_command("XRANGE", key, at, at)
            replies = await pipe.execute() if rows else []
        shown = []
        for row, reply in zip(rows, replies, strict=True):
            if reply:
                entry = Entry(partition, row["position"], reply[0][1])
                shown.append(show_entry(entry, self._source))
            else:
                shown.append(show(event_of(row, job, partition), self._source))
        return shown

    async def _logged(self, job: str, partition: int, after: int, until: int, limit: int) -> Page:
        wanted = job.encode()
        if after >= until:
            return Page([], after)
        entries = await self._log(partition).range(partition, after, until=until, count=_RANGE)
        if not entries:
            raise HoleError(
                f"positions {after + 1} to {until} of partition {partition} left the log, and the index "
                "does not have them",
                partition=partition,
                position=after + 1,
            )
        events: list[Shown] = []
        for entry in entries:
            if entry.fields[3] == wanted:
                events.append(show_entry(entry, self._source))
                if len(events) == limit:
                    return Page(events, entry.position)
        return Page(events, entries[-1].position)


def event_of(row: Mapping[str, Any], job: str, partition: int) -> Event:
    """The Event that a row of job_events was made of. Pure.

    A message that was JSON comes back as JSON; U+0000 stays the symbol that the index shows for it.
    """
    data = dict(row["data"])
    if isinstance(data.get("body"), dict):
        data["body"] = msgspec.json.encode(data["body"])
    kind: type[EventData] = TYPES[row["type"]]
    return Event(
        partition=partition,
        position=row["position"],
        type=row["type"],
        job=job,
        version=row["version"],
        attempt=row["attempt"],
        at=to_microseconds(row["at"]),
        by=row["by"],
        causation=row["causation"],
        correlation=row["correlation"],
        traceparent=row["traceparent"],
        tenant=row["tenant"],
        queue=row["queue"],
        schema=row["schema"],
        data=msgspec.convert(data, kind),
    )


@cache
def _statement() -> str:
    return resources.files("triton.feed").joinpath("sql/job_history.sql").read_text()
