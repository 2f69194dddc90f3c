"""Owns ClickHouse in a backup: the tables that are no view of the log, in ClickHouse's own format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from triton.backup.manifest import TABLES
from triton.errors import ConflictError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Projectors fill these again from the log; the last one is the migrations'.
_MADE_AGAIN: Final = ("job_events", "job_times", "schema_migrations")
_SHADOW: Final = "_shadow"
_CHUNK: Final = 1024 * 1024
_OWN: Final = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND total_rows > 0
ORDER BY name"""


def own(client: Client) -> list[str]:
    """The tables that have rows which nothing else has."""
    found = [str(row[0]) for row in client.query(_OWN).result_rows]
    return [name for name in found if name not in _MADE_AGAIN and not name.endswith(_SHADOW)]


def write(client: Client, folder: Path) -> None:
    """Each of them as one file."""
    for name in own(client):
        path = folder / TABLES / f"{name}.native"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            os.fdopen(handle, "wb") as file,
            client.raw_stream(f"SELECT * FROM `{name}`", fmt="Native") as stream,
        ):
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())


def check_empty(client: Client) -> None:
    """Raises ConflictError for a database that has rows."""
    found = [str(row[0]) for row in client.query(_OWN).result_rows]
    if used := [name for name in found if name != "schema_migrations"]:
        raise ConflictError(
            f"ClickHouse is not empty: {', '.join(used)} have rows. Restore into a new database"
        )


def load(client: Client, folder: Path) -> None:
    """Fill the tables, which the migrations have made."""
    for path in sorted((folder / TABLES).glob("*.native")):
        with path.open("rb") as file:
            client.raw_insert(f"`{path.stem}`", insert_block=file, fmt="Native")
