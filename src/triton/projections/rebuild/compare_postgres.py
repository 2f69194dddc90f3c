"""Owns comparing the shadow's rows with the live ones in PostgreSQL: hashes of ranges, then rows that differ.

Both are read in one snapshot, and both checkpoints are in it. Events are compared up to the lesser one of
each partition; jobs whose last events only one of the two has seen are left out, and counted.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import sql as text

from triton.postgres import Connection
from triton.projections.rebuild.shadow import Shadow, positions
from triton.projections.rebuild.target import Comparison

_EVENTS: Final = "job_events"
_JOBS: Final = ("job_submissions", "job_states", "failed_jobs")
#: Rows of a range of events, and ranges of jobs.
_RANGE: Final = 10_000
_RANGES: Final = 1024

_SUM: Final = "count(*), sum(hash_record_extended(r, 0)::numeric)::text"
_EVENT_HASHES: Final = (
    f"SELECT position / {_RANGE}, {_SUM} FROM {{}} r"
    " WHERE partition = %(partition)s AND position <= %(until)s GROUP BY 1"
)
_EVENT_ROWS: Final = (
    "SELECT coalesce(l.position, s.position)::text, to_jsonb(l), to_jsonb(s) FROM"
    " (SELECT * FROM {} WHERE partition = %(partition)s AND position BETWEEN %(first)s AND %(last)s) l"
    " FULL JOIN (SELECT * FROM {} WHERE partition = %(partition)s AND position BETWEEN %(first)s AND "
    "%(last)s) s"
    " USING (position) WHERE ROW(l.*) IS DISTINCT FROM ROW(s.*) ORDER BY coalesce(l.position, s.position)"
)
_RANGE_OF_JOB: Final = f"(hashtext(job) & {_RANGES - 1})"
_JOB_HASHES: Final = (
    f"SELECT {_RANGE_OF_JOB}, {_SUM} FROM {{}} r WHERE job <> ALL(%(moving)s) GROUP BY 1"
)
_JOB_ROWS: Final = (
    "SELECT coalesce(l.job, s.job), to_jsonb(l), to_jsonb(s) FROM"
    f" (SELECT * FROM {{}} WHERE {_RANGE_OF_JOB} = ANY(%(ranges)s) AND job <> ALL(%(moving)s)) l FULL JOIN"
    f" (SELECT * FROM {{}} WHERE {_RANGE_OF_JOB} = ANY(%(ranges)s) AND job <> ALL(%(moving)s)) s"
    " USING (job) WHERE ROW(l.*) IS DISTINCT FROM ROW(s.*) ORDER BY 1"
)


async def compare(connection: Connection, shadow: Shadow) -> Comparison:
    """The connection is in autocommit mode."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.execute("SET LOCAL timezone TO 'UTC'")
        return await _Comparing(connection, shadow).run()


class _Comparing:
    def __init__(self, connection: Connection, shadow: Shadow) -> None:
        self._connection = connection
        self._shadow = shadow
        self._found = Comparison()

    async def run(self) -> Comparison:
        shadow = self._shadow
        live_at = await positions(self._connection, shadow.live, shadow.name)
        shadow_at = await positions(self._connection, shadow.schema, shadow.name)
        moving: set[str] = set()
        for partition in sorted(live_at.keys() | shadow_at.keys()):
            ends = [at[partition].position if partition in at else 0 for at in (live_at, shadow_at)]
            await self._events(partition, min(ends))
            ahead = shadow.live if ends[0] > ends[1] else shadow.schema
            if ends[0] != ends[1]:
                moving |= await self._moved(ahead, partition, min(ends))
        self._found.moving = len(moving)
        for table in _JOBS:
            await self._jobs(table, list(moving))
        return self._found

    async def _moved(self, schema: str, partition: int, after: int) -> set[str]:
        rows = await self._query(
            "SELECT DISTINCT job FROM {} WHERE partition = %(partition)s AND position > %(after)s",
            _EVENTS,
            (schema,),
            {"partition": partition, "after": after},
        )
        return {job for (job,) in rows}

    async def _events(self, partition: int, until: int) -> None:
        values = {"partition": partition, "until": until}
        for number in await self._ranges(_EVENTS, _EVENT_HASHES, values):
            first, last = number * _RANGE, min(until, number * _RANGE + _RANGE - 1)
            both = (self._shadow.live, self._shadow.schema)
            rows = await self._query(
                _EVENT_ROWS, _EVENTS, both, {**values, "first": first, "last": last}
            )
            for position, live, shadow in rows:
                self._found.differ(_EVENTS, f"{partition}:{position}", live, shadow)

    async def _jobs(self, table: str, moving: list[str]) -> None:
        ranges = await self._ranges(table, _JOB_HASHES, {"moving": moving})
        if ranges:
            both = (self._shadow.live, self._shadow.schema)
            rows = await self._query(_JOB_ROWS, table, both, {"moving": moving, "ranges": ranges})
            for job, live, shadow in rows:
                self._found.differ(table, job, live, shadow)

    async def _ranges(self, table: str, statement: str, values: dict[str, Any]) -> list[int]:
        """The ranges whose hashes differ."""
        hashes = []
        for schema in (self._shadow.live, self._shadow.schema):
            rows = await self._query(statement, table, (schema,), values)
            hashes.append({number: rest for number, *rest in rows})
        return self._found.ranges(table, *hashes)

    async def _query(
        self, statement: str, table: str, schemas: tuple[str, ...], values: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        places = [text.Identifier(schema, table) for schema in schemas]
        cursor = await self._connection.execute(
            text.SQL(statement).format(*places),
            values,
        )
        return await cursor.fetchall()
