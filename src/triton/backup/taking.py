"""Owns taking a backup while jobs run, in an order that makes it whole.

1. PostgreSQL at one moment. 2. What the archive has of the log: it covers at least what those rows say.
3. The log behind it, to the end that it has then: nothing in 1 and 2 is ahead of it. 4. Content that events
and rows name: it was there before they were. 5. Keys: what seals anything of 1 to 4 is among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import triton
from triton.archive import open_archive
from triton.backup import database, keyfiles, manifest, objects, tables, tail
from triton.backup.manifest import File, Manifest, Partition
from triton.errors import ConfigurationError, ConflictError
from triton.history import History
from triton.projections.engines import open_engines
from triton.settings import Settings

#: Settings that must name an engine.
NEEDED: Final = ("redis_url", "database_url", "clickhouse_url", "archive_url")

#: Told what is being copied.
Told = Callable[[str], None]


async def take(
    settings: Settings,
    folder: Path,
    *,
    archive: bool = True,
    subject_keys: Path | None = None,
    told: Told = lambda _: None,
) -> Manifest:
    """Take a backup into a new folder. `subject_keys`: where the keys of data subjects are copied to.

    Raises ConflictError for a folder that is not empty, or a log that was adopted meanwhile; HoleError,
    UnavailableError, ConfigurationError.
    """
    for name in NEEDED:
        if not getattr(settings, name):
            raise ConfigurationError(
                f"TRITON_{name.upper()} is empty: a backup needs its engines' URLs", setting=name
            )
    await asyncio.to_thread(_make, folder, subject_keys)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    live = open_archive(settings.archive_url)
    count = size = 0
    async with open_engines(settings) as (log, _, clickhouse):
        epochs = log.epochs
        told("PostgreSQL")
        await asyncio.to_thread(database.dump, settings.database_url, folder / manifest.POSTGRES)
        source = live
        if archive:
            told("the archive")
            source = objects.beside(folder)
            count, size = await asyncio.to_thread(
                lambda: objects.copy(live, source, objects.of_the_log(live))
            )
        told("the log")
        partitions = []
        for number in range(log.partitions):
            archived = await asyncio.to_thread(objects.archived, source, log.tree(number))
            partitions.append(await _log(log, folder, number, archived))
        if archive:
            told("documents and payloads")
            more, bytes_ = await asyncio.to_thread(
                lambda: objects.copy(live, source, live.list(objects.CONTENT))
            )
            count, size = count + more, size + bytes_
        told("ClickHouse")
        await asyncio.to_thread(tables.write, clickhouse, folder)
        await log.refresh()
        if log.epochs != epochs:
            raise ConflictError("the log began a new epoch meanwhile: take the backup once more")
    told("keys")
    keyfiles.write(settings, folder)
    if subject_keys is not None:
        keyfiles.copy_subjects(keyfiles.subjects_of(settings), subject_keys)
    made = Manifest(
        made_at=begun,
        triton=triton.__version__,
        namespace=settings.namespace,
        origin=settings.origin,
        partitions=tuple(partitions),
        files=await asyncio.to_thread(_files, folder),
        objects=count if archive else None,
        object_bytes=size,
        subject_keys=subject_keys is not None,
    )
    manifest.write(folder, made)
    return made


async def _log(log: History, folder: Path, partition: int, archived: int) -> Partition:
    end = await log.position(partition)
    await tail.write(log, folder, partition, archived + 1, end)
    return Partition(
        partition=partition, epoch=log.epochs[partition], archived=min(archived, end), end=end
    )


def _files(folder: Path) -> tuple[File, ...]:
    """All but the archive's objects."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    of_the_archive = folder / manifest.ARCHIVE
    return tuple(
        manifest.described(folder, path)
        for path in found
        if not path.is_relative_to(of_the_archive)
    )


def _make(folder: Path, subject_keys: Path | None) -> None:
    if subject_keys is not None and subject_keys.absolute().is_relative_to(folder.absolute()):
        raise ConflictError(
            f"{subject_keys} is inside of the backup: keys of data subjects are kept apart, and for days "
            "only, because a copy of them undoes an erasure"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used ({error.strerror})") from error
    if used:
        raise ConflictError(f"{folder} is not empty: a backup is taken into a folder of its own")
    folder.chmod(0o700)
