"""Owns cursors that log what took PostgreSQL long: the statement as it is written, never its values."""

from __future__ import annotations

import time
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.abc import Params
from psycopg.rows import Row

from triton.observe.slow import calls


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """psycopg's own, with a look at the clock. Give it to a connection as `cursor_factory`."""

    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> Self:
        begun = time.perf_counter()
        try:
            return await super().execute(query, params, **options)
        finally:
            if time.perf_counter() - begun >= calls.seconds:
                calls.since(begun, "postgresql", text_of(query), rows=self.rowcount)


def text_of(query: object) -> str:
    """The statement with `%s` wherever a value was put into it."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    if isinstance(query, sql.Composed):
        return "".join(text_of(part) for part in query)
    if isinstance(query, sql.SQL | sql.Identifier):
        return query.as_string(None)
    return "%s"
