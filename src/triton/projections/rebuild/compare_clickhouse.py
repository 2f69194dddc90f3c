"""Owns comparing the shadow's rows with the live ones in ClickHouse: hashes of ranges, then rows that differ.

There is no snapshot over both. Events up to the lesser checkpoint never change; a job that has later ones in
either table is left out, before its times are compared and once more after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from triton.postgres import Connection
from triton.projections.rebuild.shadow import Shadow, positions
from triton.projections.rebuild.target import Comparison
from triton.projections.rows import COLUMNS

Query = Callable[..., Awaitable[list[tuple[Any, ...]]]]

_EVENTS: Final = "job_events"
_TIMES: Final = "job_times"
_RANGE: Final = 50_000
_RANGES: Final = 1024

_WHERE: Final = "WHERE partition = {partition:UInt32} AND position <= {until:UInt64}"
_EVENT_HASHES: Final = (
    f"SELECT intDiv(position, {_RANGE}) AS r, count(), groupBitXor(cityHash64(*)) FROM %s FINAL {_WHERE} "
    "GROUP BY r"
)
_EVENT_ROWS: Final = (
    f"SELECT {', '.join(COLUMNS)} FROM %s FINAL {_WHERE} AND position >= {{first:UInt64}}"
)
_MOVED: Final = (
    "SELECT DISTINCT job FROM %s WHERE partition = {partition:UInt32} AND position > {until:UInt64}"
)
_TIME_COLUMNS: Final = ("submitted_at", "ready_at", "started_at", "restarted_at", "finished_at")
_TIME_OF: Final = ", ".join(
    f"toString({'max' if name in ('restarted_at', 'finished_at') else 'min'}({name})) AS {name}_"
    for name in _TIME_COLUMNS
)
_TIME_ROWS: Final = (
    f"SELECT tenant, queue, job, max(actor) AS actor_, {_TIME_OF} FROM %s"
    " WHERE job NOT IN {moving:Array(String)} GROUP BY tenant, queue, job"
)
_TIME_HASHES: Final = (
    f"SELECT cityHash64(job) %% {_RANGES} AS r, count(), groupBitXor(cityHash64(toString(tuple(*))))"
    f" FROM ({_TIME_ROWS}) GROUP BY r"
)


async def compare(connection: Connection, query: Query, shadow: Shadow, suffix: str) -> Comparison:
    """`suffix` makes the shadow's tables of the live ones' names."""
    return await _Comparing(connection, query, shadow, suffix).run()


class _Comparing:
    def __init__(self, connection: Connection, query: Query, shadow: Shadow, suffix: str) -> None:
        self._connection = connection
        self._query = query
        self._shadow = shadow
        self._suffixes = ("", suffix)
        self._found = Comparison()

    async def run(self) -> Comparison:
        shadow = self._shadow
        live_at = await positions(self._connection, shadow.live, shadow.name)
        shadow_at = await positions(self._connection, shadow.schema, shadow.name)
        both = {}
        for partition in sorted(live_at.keys() | shadow_at.keys()):
            ends = [at[partition].position if partition in at else 0 for at in (live_at, shadow_at)]
            both[partition] = min(ends)
            await self._events(partition, min(ends))
        await self._times(both)
        return self._found

    async def _events(self, partition: int, until: int) -> None:
        values = {"partition": partition, "until": until}
        for number in await self._ranges(_EVENTS, _EVENT_HASHES, values):
            first, last = number * _RANGE, min(until, number * _RANGE + _RANGE - 1)
            live, shadow = [
                {
                    row[1]: dict(zip(COLUMNS, row, strict=True))
                    for row in await self._query(
                        _EVENT_ROWS % (_EVENTS + suffix),
                        partition=partition,
                        until=last,
                        first=first,
                    )
                }
                for suffix in self._suffixes
            ]
            before = self._found.total
            for position in sorted(live.keys() | shadow.keys()):
                self._differ(
                    _EVENTS, f"{partition}:{position}", live.get(position), shadow.get(position)
                )
            if self._found.total == before:  # the same events, but not the same number of rows
                self._differ(_EVENTS, f"{partition}:{first}-{last}", {"more rows": True}, {})

    async def _times(self, until: dict[int, int]) -> None:
        moving = await self._moving(until)
        ranges = set(await self._ranges(_TIMES, _TIME_HASHES, {"moving": sorted(moving)}))
        if ranges:
            names = ("tenant", "queue", "job", "actor", *_TIME_COLUMNS)
            live, shadow = [
                {
                    row[:3]: dict(zip(names, row, strict=True))
                    for row in await self._query(
                        f"SELECT * FROM ({_TIME_ROWS % (_TIMES + suffix)})"
                        f" WHERE cityHash64(job) % {_RANGES} IN {{ranges:Array(UInt32)}}",
                        moving=sorted(moving),
                        ranges=sorted(ranges),
                    )
                }
                for suffix in self._suffixes
            ]
            # A projector went on meanwhile.
            moving |= await self._moving(until)
            for key in sorted(live.keys() | shadow.keys()):
                if key[2] not in moving:
                    self._differ(_TIMES, "/".join(key), live.get(key), shadow.get(key))
        self._found.moving = len(moving)

    async def _moving(self, until: dict[int, int]) -> set[str]:
        return {
            job
            for partition, position in until.items()
            for suffix in self._suffixes
            for (job,) in await self._query(
                _MOVED % (_EVENTS + suffix), partition=partition, until=position
            )
        }

    async def _ranges(self, table: str, statement: str, values: dict[str, Any]) -> Iterable[int]:
        """The ranges whose hashes differ."""
        hashes = [
            {
                number: rest
                for number, *rest in await self._query(statement % (table + suffix), **values)
            }
            for suffix in self._suffixes
        ]
        return self._found.ranges(table, *hashes)

    def _differ(
        self, table: str, key: str, live: dict[str, Any] | None, shadow: dict[str, Any] | None
    ) -> None:
        if live != shadow:
            self._found.differ(table, key, live, shadow)
