"""Owns reading jobs: the freshest state of one, and pages of many.

Redis has the truth about a job as long as it has its head; PostgreSQL has every job, as far as the
projector has come. So a job that was submitted a moment ago is always found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
import redis.asyncio
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from redis.exceptions import RedisError

from triton import keys
from triton.api import pages, views
from triton.api.statements import sql
from triton.api.whose import narrowed
from triton.domain.connection import reading_connection
from triton.errors import UnavailableError
from triton.events.envelope import to_datetime, to_microseconds
from triton.events.heads import read_many
from triton.events.log import Log
from triton.events.types import Submitted
from triton.feed.contract import Sees, Snapshot, everybody
from triton.job import Head
from triton.job_view import JobView, from_head, to_json
from triton.observe.logger import get_logger

#: Entries of the log that are looked through for the arguments of a job that completed a moment ago.
_LOOKED_THROUGH: Final = 20_000
#: Jobs that are read in one question to each store.
_AT_ONCE: Final = 200
#: Seconds that a request waits for a connection to PostgreSQL.
_TIMEOUT: Final = 1.0

_log = get_logger("triton.api")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a list shows; None does not filter. `after` is inclusive, `before` is not."""

    states: Sequence[str] | None = None
    queue: str | None = None
    actor: str | None = None
    tenant: str | None = None
    after: datetime | None = None
    before: datetime | None = None


class JobReader:
    """Reads for every request of one process."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        namespace: str,
        partitions: int,
        pool: AsyncConnectionPool[psycopg.AsyncConnection[DictRow]],
        log: Callable[[int], Log],
    ) -> None:
        self._log = log
        self._client = client
        self._namespace = namespace
        self._partitions = partitions
        self._pool = pool

    async def find(self, job: str, tenant: str | None, sees: Sees = everybody) -> JobView | None:
        """The job as it is now; None where no store knows it, and where who asks does not see it: nobody can
        tell the two apart by the time that it takes. PostgreSQL is asked for a job of `tenant` alone (None is
        any).

        Raises UnavailableError where the store that has to be asked does not answer.
        """
        found = await self._seen(job, tenant, sees)
        return found[0] if found else None

    async def snapshot(self, job: str, sees: Sees = everybody) -> Snapshot | None:
        """The same of any tenant, for a subscriber."""
        found = await self._seen(job, None, sees)
        return _snapshot(*found) if found else None

    async def snapshots(
        self, jobs: Collection[str], sees: Callable[[str, str, str], bool]
    ) -> list[tuple[str, Snapshot]]:
        """Those of many jobs that there are and that who asks sees, by id. `sees` is asked with the job too.
        Raises as `find`."""
        named = sorted(jobs)
        found: list[tuple[str, Snapshot]] = []
        for start in range(0, len(named), _AT_ONCE):
            page = await self._read(named[start : start + _AT_ONCE], None, sees)
            found += [(job, _snapshot(view, live)) for job, (view, live) in page.items()]
        return found

    async def forgotten(self, jobs: Sequence[str]) -> set[str]:
        """Those of the jobs that PostgreSQL has (none where it does not answer), and Redis has no more: the
        submit script would take them for new."""
        try:
            # Ids are unique over all tenants.
            rows = await self.rows("known", {"jobs": list(jobs)}, None) if jobs else []
        except UnavailableError:
            return set()
        known = [row["job"] for row in rows]
        if not known:
            return set()
        async with self._client.pipeline(transaction=False) as pipe:
            for job in known:
                partition = keys.partition_of(job, self._partitions)
                pipe.exists(keys.job(keys.prefix(self._namespace, partition), job))
            there = await pipe.execute()
        return {job for job, is_there in zip(known, there, strict=True) if not is_there}

    async def page(
        self, chosen: Filter, *, next_page: str | None, limit: int
    ) -> tuple[Sequence[JobView], str | None]:
        """The newest jobs that fit, after the ones before, and the `next` of the page after. As far as the
        projector has come.

        Raises ValidationError for a `next_page` that is none, UnavailableError.
        """
        last = pages.read(next_page) if next_page else None
        values = {
            **msgspec.structs.asdict(chosen),
            "states": list(chosen.states) if chosen.states else None,
            "last_at": to_datetime(last.at) if last else None,
            "last_job": last.id if last else None,
            "limit": pages.asked(limit),
        }
        found = await self.rows("jobs", values, chosen.tenant)
        return pages.cut([views.from_row(row) for row in found], limit, _place)

    async def _seen(self, job: str, tenant: str | None, sees: Sees) -> tuple[JobView, bool] | None:
        found = await self._read([job], tenant, lambda _, of, correlation: sees(of, correlation))
        return found.get(job)

    async def _read(
        self, jobs: Sequence[str], tenant: str | None, sees: Callable[[str, str, str], bool]
    ) -> dict[str, tuple[JobView, bool]]:
        """The views of those that are seen, each with whether it is from Redis."""
        trouble: RedisError | None = None
        try:
            live = await read_many(self._client, self._namespace, self._partitions, jobs)
        except RedisError as error:
            live, trouble = [(None, None)] * len(jobs), error
        found: dict[str, tuple[JobView, bool]] = {}
        heads: dict[str, Head | None] = {}
        for job, (head, body) in zip(jobs, live, strict=True):
            if head is not None and body is not None:
                found[job] = (from_head(head, body), True)
            if job not in found or not sees(job, *_whose(found[job][0])):
                # Of a job that is not seen PostgreSQL is asked too, as of one that never was.
                heads[job] = None if job in found else head
        if heads:
            rows = await self._rows_of(heads, tenant)
            for job in heads.keys() - found.keys():
                if (one := await self._stored(heads[job], rows.get(job))) is not None:
                    found[job] = one
        if trouble is not None and len(found) < len(jobs):
            raise UnavailableError(f"Redis does not answer: {trouble}") from trouble
        seen = (job for job in jobs if job in found and sees(job, *_whose(found[job][0])))
        return {job: found[job] for job in seen}

    async def _rows_of(
        self, heads: Mapping[str, Head | None], tenant: str | None
    ) -> dict[str, DictRow]:
        try:
            found = await self.rows("jobs_named", {"jobs": list(heads)}, tenant)
        except UnavailableError as error:
            if None in heads.values():
                raise
            _log.warning("jobs_shown_without_arguments", jobs=len(heads), reason=error.message)
            return {}
        return {row["job"]: row for row in found}

    async def _stored(self, head: Head | None, row: DictRow | None) -> tuple[JobView, bool] | None:
        """What a head without a message, and a row, tell of a job."""
        if head is None:
            return None if row is None else (views.from_row(row), False)
        if row is None:
            return from_head(head, await self._logged_body(head)), True
        view = from_head(head, None)
        return msgspec.structs.replace(view, args=row["args"], kwargs=row["kwargs"]), True

    async def _logged_body(self, head: Head) -> bytes | None:
        """The message of a job that completed before its row was written."""
        log = self._log(head.partition)
        try:
            event = await log.submission(
                head.job, head.position, since=head.submitted, most=_LOOKED_THROUGH
            )
        except RedisError:
            return None
        return event.data.body if event and isinstance(event.data, Submitted) else None

    async def rows(
        self, statement: str, values: dict[str, Any], tenant: str | None
    ) -> list[DictRow]:
        """What a statement of `triton/api/sql` answers, of the rows of `tenant`; None is all. Raises
        UnavailableError."""
        (found,) = await self._asked([(sql(statement), values)], tenant, one_moment=False)
        return found

    async def at_once(
        self, statements: Sequence[tuple[str, dict[str, Any]]], tenant: str | None
    ) -> list[list[DictRow]]:
        """What several statements (their text) answer, all of one moment. As `rows`."""
        return await self._asked(statements, tenant, one_moment=True)

    async def _asked(
        self,
        statements: Sequence[tuple[str, dict[str, Any]]],
        tenant: str | None,
        *,
        one_moment: bool,
    ) -> list[list[DictRow]]:
        try:
            async with reading_connection(
                self._pool, narrowed(tenant), wait=_TIMEOUT, one_moment=one_moment
            ) as connection:
                cursors = [await connection.execute(text, values) for text, values in statements]
                return [await cursor.fetchall() for cursor in cursors]
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise _away(error) from error


def _whose(view: JobView) -> tuple[str, str]:
    return view.tenant, view.correlation


def _snapshot(view: JobView, live: bool) -> Snapshot:
    line = to_json(view)
    return Snapshot(
        line, view.tenant, view.state, view.version, view.position, live, view.correlation
    )


def _away(error: Exception) -> UnavailableError:
    return UnavailableError(f"PostgreSQL does not answer: {error}")


def _place(view: JobView) -> pages.Keys:
    return pages.Keys(to_microseconds(datetime.fromisoformat(view.submitted_at)), view.id)
