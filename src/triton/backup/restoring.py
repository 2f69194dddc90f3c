"""Owns making a platform of a backup, in empty engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from triton import migrate
from triton.archive import ArchiveStore, open_archive
from triton.backup import database, manifest, objects, tables
from triton.backup.manifest import Manifest
from triton.backup.tail import Tail
from triton.errors import ConflictError
from triton.restore.declaring import PATIENCE
from triton.restore.running import Restored, open_restore
from triton.settings import Settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: Told what is being restored.
Told = Callable[[str], None]


async def fill(
    settings: Settings,
    folder: Path,
    known: Manifest,
    *,
    by: str,
    reason: str,
    told: Told = lambda _: None,
    patience: float = PATIENCE,
) -> list[Restored]:
    """Fill empty engines from a checked backup. `settings` have their URLs, and the namespace and the number
    of partitions of the backup. The keys are in their places already.

    Raises ConflictError for an engine that is not empty, UnavailableError, EvidenceError.
    """
    archive = open_archive(settings.archive_url)
    tail = Tail(folder, known.partitions)
    database.check_empty(settings.database_url)
    if known.objects is not None and next(iter(archive.list()), None) is not None:
        raise ConflictError("the archive is not empty: restore into a new folder or prefix")
    async with open_restore(settings, tail) as opened:
        await opened.check_empty()
    with _clickhouse(settings) as clickhouse:
        await asyncio.to_thread(tables.check_empty, clickhouse)
        if known.objects is not None:
            told("the archive")
            await asyncio.to_thread(_copy, folder, archive)
        told("PostgreSQL")
        source = folder / manifest.POSTGRES
        await asyncio.to_thread(database.load, settings.database_url, source)
        migrate.up(settings.database_url, settings.clickhouse_url)
        told("ClickHouse")
        await asyncio.to_thread(tables.load, clickhouse, folder)
    told("Redis")
    async with open_restore(settings, tail) as opened:
        return await opened.run(by=by, reason=reason, patience=patience)


def _copy(folder: Path, archive: ArchiveStore) -> None:
    source = objects.beside(folder)
    objects.copy(source, archive, source.list())


def _clickhouse(settings: Settings) -> Client:
    import clickhouse_connect

    return clickhouse_connect.get_client(dsn=settings.clickhouse_url)
