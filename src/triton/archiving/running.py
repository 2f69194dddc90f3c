"""Owns the process that archives: one task for each partition, kept alive."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg

from triton.archive import ArchiveStore, open_archive
from triton.archive.probing import check_creates_once
from triton.audit.rotating import announce
from triton.checkpoints.keeping import Keeping, opened, released
from triton.errors import ConfigurationError, ConflictError, NotFoundError
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.evidence import keyring
from triton.evidence.archiver import Archiver
from triton.evidence.layout import Tree
from triton.evidence.ledger import ARCHIVER
from triton.evidence.notes import Signer
from triton.evidence.rows import Rows
from triton.evidence.signing import open_signer
from triton.evidence.witnesses import parse_witnesses
from triton.expiry.running import run_expiry
from triton.history import log_of
from triton.observe.signs import signs
from triton.projections.lag import PROJECTORS
from triton.settings import Settings


async def run_archiver(settings: Settings, stop: asyncio.Event) -> None:
    """Archive every partition until `stop` is set.

    An engine that is away, or another process that holds the lease, is waited for. A log that is another
    than was signed, or an archive that holds something else than was put, halts the partition: it says so,
    and looks again. Raises ConfigurationError for a missing URL, or a key that may not sign.
    """
    for name in ("redis_url", "database_url", "archive_url"):
        if not getattr(settings, name):
            raise ConfigurationError(
                f"TRITON_{name.upper()} is empty: an archiver needs its engines' URLs",
                setting=name,
            )
    parse_witnesses(settings.witnesses)
    client = connect_async(settings.redis_url)
    try:

        async def open_all() -> tuple[Log, ArchiveStore, Signer]:
            archive, signer = await asyncio.to_thread(_evidence, settings)
            return await log_of(client, settings), archive, signer

        found = await opened("archiver", open_all, stop)
        if found is None:
            return
        log, archive, signer = found
        async with asyncio.TaskGroup() as group:
            for partition in range(settings.partitions):
                keeper = Keeper(log, archive, signer, settings, partition)
                group.create_task(keeper.run(stop))
            group.create_task(run_expiry(log, archive, settings, stop))
    finally:
        await client.aclose()


class Keeper(Keeping):
    """Keeps the archiver of one partition running."""

    word = "archiver"
    halts = (*Keeping.halts, ConflictError, NotFoundError)

    def __init__(
        self, log: Log, archive: ArchiveStore, signer: Signer, settings: Settings, partition: int
    ) -> None:
        part = signs.part(f"log/{partition}")
        super().__init__(log, settings.database_url, partition, part=part)
        self._archive = archive
        self._signer = signer
        self._settings = settings

    async def once(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> None:
        lease = await self.lease(connection, ARCHIVER, stop)
        if lease is None:
            return
        async with released(lease):
            # While it stood by, another key may have been announced.
            space = self.log.namespace
            ring = await asyncio.to_thread(keyring.settle, self._archive, space, self._signer)
            tree = Tree(space, lease.partition, self.log.epochs[lease.partition])
            rows = Rows(connection, tree)
            await announce(self.log, Scripts(), self._archive, rows, ring)
            sealing = f"archive/{lease.partition}"
            archiver = Archiver(
                self.log,
                self._archive,
                lease,
                self._signer,
                self._settings,
                projectors=PROJECTORS,
                parts=(self.part, signs.part(sealing)),
            )
            try:
                await archiver.run(stop)
            finally:
                signs.leave(sealing)
        self.say.info("archiver.stopped")


def _evidence(settings: Settings) -> tuple[ArchiveStore, Signer]:
    """The archive, and who signs for this namespace. Raises ConfigurationError, UnavailableError."""
    archive = open_archive(settings.archive_url)
    check_creates_once(archive)
    signer = open_signer(settings.signing_key, settings.origin, Path(settings.data))
    keyring.settle(archive, settings.namespace, signer)
    return archive, signer
