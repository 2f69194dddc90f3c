"""Owns what PostgreSQL knows of the log: where segments and a job's events are, and the log's lives.

It is never needed: whoever asks has a slower way without it. One that did not answer is left alone for a
while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from triton.errors import UnavailableError, no_answer
from triton.events.envelope import Event, to_microseconds
from triton.events.types import TYPES, EventData
from triton.observe.logger import get_logger
from triton.statements import statements_of

#: The projector whose rows these are.
PROJECTOR: Final = "postgres"
#: Seconds for which an index that did not answer is left alone.
_REST: Final = 2.0

_sql = statements_of("triton.history")

#: Gives a connection in autocommit mode for a while.
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]]

#: Statements that read tables whose rows have a tenant. The others tell of the log itself, which is one for
#: all; where administrative events are is such a thing too: those that concern all tenants have none.
_OF_TENANTS: Final = frozenset({"actors", "children", "job_history"})

_log = get_logger("triton.history")


class Index:
    """Asks for every reader of one process. The database may have no server behind it for a while.

    `connect` sees all tenants; `within`, where there is one, those of whom the question is asked for.
    """

    def __init__(self, connect: Connect, within: Connect | None = None) -> None:
        self._connect = connect
        self._within = within or connect
        self._rests_until = 0.0

    async def rows(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a statement of `triton/history/sql` answers. Raises UnavailableError."""
        if time.monotonic() < self._rests_until:
            raise UnavailableError("PostgreSQL did not answer a moment ago")
        connect = self._within if statement in _OF_TENANTS else self._connect
        try:
            async with (
                connect() as connection,
                connection.cursor(row_factory=dict_row) as cursor,
            ):
                await cursor.execute(_sql(statement), values)
                return await cursor.fetchall()
        except psycopg.errors.UndefinedTable as error:
            # An older schema, or none yet: the archive says the same.
            raise UnavailableError(f"PostgreSQL lacks a table: {error}") from error
        except (psycopg.Error, PoolTimeout, OSError) as error:
            self._rests_until = time.monotonic() + _REST
            _log.warning("event_index_away", reason=str(error).strip())
            raise UnavailableError(no_answer("PostgreSQL", error)) from error


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
