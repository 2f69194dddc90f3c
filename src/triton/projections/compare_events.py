"""Owns comparing the history in both stores with the log, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from triton.events.envelope import Event
from triton.postgres import Connection
from triton.projections.refold import EVENT_FIELDS, comparable, expected_event
from triton.projections.report import Report
from triton.projections.statements import sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

HISTORY: Final = "postgres.job_events"
ANALYTICS: Final = "clickhouse.job_events"

#: Position, and the event there or why there is none that can be read.
Found: TypeAlias = Sequence[tuple[int, Event | str]]


class EventComparison:
    """`connection` sees one snapshot. `parked` holds (projector, partition, position)."""

    def __init__(
        self,
        report: Report,
        connection: Connection,
        clickhouse: Client,
        parked: set[tuple[str, int, int]],
    ) -> None:
        self._report = report
        self._connection = connection
        self._clickhouse = clickhouse
        self._parked = parked

    async def compare(
        self, table: str, projector: str, partition: int, first: int, last: int, found: Found
    ) -> int:
        """Compare the rows from `first` to `last`. Answers how many were expected."""
        if first > last:
            return 0
        actual = await self._rows(table, partition, first, last)
        compared = 0
        for position, event in found:
            if position > last or (projector, partition, position) in self._parked:
                continue
            compared += 1
            self._compare(table, f"{partition}:{position}", event, actual.pop(position, []))
        for position in actual:
            self._differ(table, partition, position)
        return compared

    def _compare(
        self, table: str, key: str, event: Event | str, rows: Sequence[Sequence[Any]]
    ) -> None:
        if isinstance(event, str):
            self._report.differ(table, key, "event", f"parked: {event}", f"{len(rows)} rows")
        elif len(rows) != 1:
            self._report.differ(table, key, "row", "one row", f"{len(rows)} rows")
        else:
            expected = expected_event(event)
            for name, value in zip(EVENT_FIELDS, rows[0], strict=True):
                wanted = expected[name]
                if wanted == value:
                    continue
                if name == "data" and comparable(wanted) == comparable(value):
                    continue
                self._report.differ(table, key, name, wanted, value)

    async def beyond(
        self, partition: int, end: int, log_end: int, position_now: Callable[[], Awaitable[int]]
    ) -> None:
        """Report rows after the checkpoint in PostgreSQL, and after the log's end in ClickHouse, where a
        batch may be on its way. `log_end` may be old; `position_now` tells where the log ends by now."""
        cursor = await self._connection.execute(
            "SELECT position FROM job_events WHERE partition = %s AND position > %s LIMIT 1000",
            (partition, end),
        )
        for (position,) in await cursor.fetchall():
            self._differ(HISTORY, partition, position)
        query = (
            "SELECT DISTINCT position FROM job_events WHERE partition = {partition:UInt32}"
            " AND position > {end:UInt64} ORDER BY position DESC LIMIT 1000"
        )
        rows = await self._query(query, {"partition": partition, "end": log_end})
        # Asked after the rows were read: the log goes on meanwhile, and the projector with it.
        now = await position_now() if rows else log_end
        for (position,) in reversed(rows):
            if position > now:
                self._differ(ANALYTICS, partition, position)

    async def other_partitions(self, partitions: int) -> None:
        """Report rows of partitions that the log does not have."""
        cursor = await self._connection.execute(
            "SELECT partition, count(*) FROM job_events WHERE partition >= %s GROUP BY 1 ORDER BY 1",
            (partitions,),
        )
        query = "SELECT partition, count() FROM job_events WHERE partition >= {n:UInt32} GROUP BY 1"
        for table, rows in (
            (HISTORY, await cursor.fetchall()),
            (ANALYTICS, await self._query(query, {"n": partitions})),
        ):
            for partition, count in rows:
                self._report.differ(table, f"{partition}:*", "row", "no row", f"{count} rows")

    def _differ(self, table: str, partition: int, position: int) -> None:
        self._report.differ(table, f"{partition}:{position}", "row", "no row", "a row")

    async def _rows(
        self, table: str, partition: int, first: int, last: int
    ) -> dict[int, list[Sequence[Any]]]:
        """The stored rows by position; more than one only where something is wrong."""
        values = {"partition": partition, "first": first, "last": last}
        if table == ANALYTICS:
            rows = await self._query(sql("verify_events_clickhouse").decode(), values)
        else:
            cursor = await self._connection.execute(sql("verify_events"), values)
            rows = await cursor.fetchall()
        found: dict[int, list[Sequence[Any]]] = {}
        for position, *rest in rows:
            found.setdefault(position, []).append(rest)
        return found

    async def _query(self, query: str, values: dict[str, int]) -> Sequence[Sequence[Any]]:
        answer = await asyncio.to_thread(self._clickhouse.query, query, parameters=values)
        return answer.result_rows
