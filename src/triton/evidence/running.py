"""Owns the process that archives: one task for each partition, kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog
from redis.exceptions import RedisError

from triton.archive import ArchiveStore, open_archive
from triton.archive.probing import check_creates_once
from triton.errors import (
    ConfigurationError,
    ConflictError,
    EvidenceError,
    FencedError,
    LogError,
    NotFoundError,
    UnavailableError,
)
from triton.events.client import connect_async
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.evidence import keyring
from triton.evidence.archiver import Archiver
from triton.evidence.ledger import ARCHIVER
from triton.evidence.notes import Signer
from triton.evidence.signing import open_signer
from triton.projections.checkpoint import LEASE_SECONDS, Lease
from triton.projections.lag import PROJECTORS
from triton.settings import Settings

#: Seconds between two looks of a standby at its lease.
_STANDBY: Final = 1.0
#: Seconds until an archiver that failed tries again: at first, and at most.
_FIRST: Final = 0.1
_LONGEST: Final = 10.0
#: Seconds between two looks at a log or an archive that broke a promise: a person has to decide.
_HALTED: Final = 30.0


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
    client = connect_async(settings.redis_url)
    try:
        opened = await _opened(settings, client, stop)
        if opened is None:
            return
        log, archive, signer = opened
        async with asyncio.TaskGroup() as group:
            for partition in range(settings.partitions):
                keeper = Keeper(log, archive, signer, settings, partition)
                group.create_task(keeper.run(stop))
    finally:
        await client.aclose()


class Keeper:
    """Keeps the archiver of one partition running: standby, work, again after what may pass."""

    def __init__(
        self,
        log: Log,
        archive: ArchiveStore,
        signer: Signer,
        settings: Settings,
        partition: int,
        *,
        lease_seconds: float = LEASE_SECONDS,
        halted_seconds: float = _HALTED,
    ) -> None:
        self._log = log
        self._archive = archive
        self._signer = signer
        self._settings = settings
        self._partition = partition
        self._lease_seconds = lease_seconds
        self._halted_seconds = halted_seconds
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._say = structlog.get_logger("triton.archiver").bind(partition=partition)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Errors of engines, of the log and of the archive are logged, others raised."""
        delay = _FIRST
        halted = False
        while not stop.is_set():
            begun = time.monotonic()
            pause = delay
            try:
                if halted:
                    await self._log.refresh()
                    halted = False
                await self._once(stop)
                continue
            except FencedError as error:
                self._say.warning("archiver.replaced", error=error.message)
            except (LogError, EvidenceError, ConflictError, NotFoundError) as error:
                pause, halted = self._halted_seconds, True
                self._say.error("archiver.halted", code=error.code, error=error.message)
            except psycopg.errors.UndefinedTable as error:
                self._say.error(
                    "archiver.no_schema", error=str(error), advice="run `triton migrate up`"
                )
            except (UnavailableError, RedisError, psycopg.Error, OSError) as error:
                self._say.warning("archiver.waiting", error=str(error), again_in_seconds=pause)
            await _pause(stop, pause)
            worked = time.monotonic() - begun > _LONGEST + pause
            delay = _FIRST if worked else min(delay * 2, _LONGEST)

    async def _once(self, stop: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._settings.database_url, autocommit=True, connect_timeout=10
        ) as connection:
            lease = await self._lease(connection, stop)
            if lease is None:
                return
            try:
                await Archiver(
                    self._log,
                    self._archive,
                    lease,
                    self._signer,
                    self._settings,
                    projectors=PROJECTORS,
                ).run(stop)
            finally:
                with contextlib.suppress(psycopg.Error):
                    await lease.release()
        self._say.info("archiver.stopped")

    async def _lease(
        self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event
    ) -> Lease | None:
        """The lease, as soon as nobody else holds it; None when told to stop before."""
        standby = False
        while not stop.is_set():
            lease = await Lease.acquire(
                connection,
                ARCHIVER,
                self._partition,
                epoch=self._log.epochs[self._partition],
                owner=self._owner,
                seconds=self._lease_seconds,
            )
            if lease is not None:
                return lease
            if not standby:
                self._say.info("archiver.standby")
                standby = True
            await _pause(stop, _STANDBY)
        return None


async def _opened(
    settings: Settings, client: Any, stop: asyncio.Event
) -> tuple[Log, ArchiveStore, Signer] | None:
    say = structlog.get_logger("triton.archiver")
    delay = _FIRST
    scripts = Scripts()
    while not stop.is_set():
        try:
            archive, signer = await asyncio.to_thread(_evidence, settings)
            log = await Log.open(
                client, scripts, settings.namespace, settings.partitions, secrets.token_hex(8)
            )
        except UnavailableError as error:
            say.warning("archiver.waiting", error=error.message, again_in_seconds=delay)
            await _pause(stop, delay)
            delay = min(delay * 2, _LONGEST)
        else:
            return log, archive, signer
    return None


def _evidence(settings: Settings) -> tuple[ArchiveStore, Signer]:
    """The archive, and who signs for this namespace. Raises ConfigurationError, UnavailableError."""
    archive = open_archive(settings.archive_url)
    check_creates_once(archive)
    signer = open_signer(settings.signing_key, settings.origin, Path(settings.data))
    keyring.settle(archive, settings.namespace, signer)
    return archive, signer


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
