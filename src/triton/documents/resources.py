"""Owns what the document handlers of one process share: a pool of connections and the archive.

Opened at first use, never at import: workers fork after the import, and the stack sets the URLs of
its engines in the environment of its children.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from triton import settings
from triton.archive import ArchiveStore, open_archive
from triton.errors import ConfigurationError, UnavailableError
from triton.settings import Settings

#: Connections of one worker process, and seconds that a handler waits for one.
POOL_SIZE = 8
POOL_TIMEOUT = 30.0


class Resources(msgspec.Struct, frozen=True):
    """What belongs together for one process."""

    pool: ConnectionPool[psycopg.Connection[Any]]
    archive: ArchiveStore

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection; the block is one transaction. Raises UnavailableError when PostgreSQL is away."""
        try:
            with self.pool.connection() as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise UnavailableError(f"PostgreSQL did not answer: {error}") from error

    def close(self) -> None:
        self.pool.close()


_lock = threading.Lock()
_opened: dict[int, Resources] = {}


def resources() -> Resources:
    """This process's resources, opened with `triton.settings.load()` at the first call.

    Raises ConfigurationError when there is no database URL or the archive cannot be used.
    """
    with _lock:
        found = _opened.get(os.getpid())
        if found is None:
            found = _opened[os.getpid()] = open_resources(settings.load())
        return found


def close() -> None:
    """Closes this process's resources, if any; the next call of `resources` opens new ones."""
    with _lock:
        found = _opened.pop(os.getpid(), None)
    if found is not None:
        found.close()


def open_resources(chosen: Settings, *, timeout: float = POOL_TIMEOUT) -> Resources:
    """Resources for these settings. An empty archive URL means the folder `archive` below `data`.

    `timeout`: seconds that `connection` waits for PostgreSQL. Raises ConfigurationError.
    """
    if not chosen.database_url:
        raise ConfigurationError(
            "Documents need PostgreSQL: set TRITON_DATABASE_URL, or run the worker by `triton up`.",
            setting="database_url",
        )
    archive = open_archive(chosen.archive_url or (Path(chosen.data).resolve() / "archive").as_uri())
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        chosen.database_url, min_size=0, max_size=POOL_SIZE, timeout=timeout, open=False
    )
    pool.open()
    return Resources(pool, archive)
