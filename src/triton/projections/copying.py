"""Owns how a batch's lines get into a table: by COPY, or around row-level security where that refuses COPY.

Row-level security is forced on the tables of jobs, and PostgreSQL takes no COPY into such a table from who
is held by it: an owner that is neither a superuser nor has BYPASSRLS. Its lines go into a temporary table,
and from there by INSERT, under the policies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from triton.postgres import Connection
from triton.projections.statements import sql

#: What is copied; each is a file of `sql`.
COPIES: Final = ("copy_events", "copy_submissions", "copy_states")
_COPY: Final = re.compile(rb"COPY (?P<table>\w+) (?P<columns>\([^)]*\)) FROM STDIN")


class Copier:
    """Of one connection."""

    def __init__(self) -> None:
        self._staged = False

    async def open(self, connection: Connection) -> None:
        """Find out which way it is, and make ready for it."""
        cursor = await connection.execute("SELECT row_security_active('job_events')")
        row = await cursor.fetchone()
        self._staged = bool(row and row[0])
        if not self._staged:
            return
        for statement in COPIES:
            table, _ = _parts(statement)
            # In the shadow of a rebuild it is like the shadow's table.
            await connection.execute(b"DROP TABLE IF EXISTS pg_temp.staged_" + table)
            await connection.execute(b"CREATE TEMPORARY TABLE staged_%s (LIKE %s)" % (table, table))

    async def copy(self, connection: Connection, statement: str, blocks: Sequence[bytes]) -> None:
        """The lines, in the caller's transaction. Raises what the table refuses."""
        if not self._staged:
            await _copy(connection, sql(statement), blocks)
            return
        table, columns = _parts(statement)
        await connection.execute(b"TRUNCATE pg_temp.staged_" + table)
        await _copy(connection, b"COPY pg_temp.staged_%s %s FROM STDIN" % (table, columns), blocks)
        await connection.execute(
            b"INSERT INTO %s %s SELECT %s FROM pg_temp.staged_%s"
            % (table, columns, columns.strip(b"()"), table)
        )


def _parts(statement: str) -> tuple[bytes, bytes]:
    """The table that a statement copies into, and its columns."""
    found = _COPY.search(sql(statement))
    assert found is not None, "a statement of ours that is no COPY"
    return found["table"], found["columns"]


async def _copy(connection: Connection, statement: bytes, blocks: Sequence[bytes]) -> None:
    async with connection.cursor().copy(statement) as copy:
        for lines in blocks:
            await copy.write(lines)
