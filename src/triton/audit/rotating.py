"""Owns that another key signs from now on: a list of keys that both sign, an event in each partition."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import NamedTuple

from triton.archive import ArchiveStore
from triton.audit.noting import note
from triton.checkpoints.lease import Lease, new_owner
from triton.errors import ConflictError, NotFoundError
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.events.types import KeyRotated
from triton.evidence import keyring, layout, notes
from triton.evidence.keyring import Keyring
from triton.evidence.ledger import ARCHIVER
from triton.evidence.notes import Signer
from triton.evidence.rows import Rows
from triton.postgres import Connection


class Rotated(NamedTuple):
    """Where a partition's log says it: heads of more than `size` events are signed by the new key."""

    partition: int
    position: int
    size: int


async def rotate(
    log: Log,
    scripts: Scripts,
    connection: Connection,
    archive: ArchiveStore,
    old: Signer,
    new: Signer,
    *,
    by: str,
    reason: str,
) -> tuple[Keyring, list[Rotated]]:
    """Announce `new` as the key after `old`. Repeating it does what is left of it.

    It holds the archivers' leases meanwhile: so nothing is signed by the old key after the size that the
    events name. Raises ConflictError where an archiver runs, ConfigurationError where `old` is not the key
    that signs, RedisError, UnavailableError.
    """
    owner = new_owner()
    async with AsyncExitStack() as stack:
        for partition, epoch in enumerate(log.epochs):
            lease = await Lease.acquire(connection, ARCHIVER, partition, epoch=epoch, owner=owner)
            if lease is None:
                raise ConflictError(
                    f"An archiver of partition {partition} runs with the old key: stop the archivers, wait "
                    "for 15 seconds if one of them was killed, and run this again",
                    partition=partition,
                )
            stack.push_async_callback(lease.release)
        ring = await asyncio.to_thread(keyring.rotate, archive, log.namespace, old, new)
        ids = old.key.id.hex(), new.key.id.hex()
        return ring, [
            await _say(log, scripts, partition, *ids, by=by, reason=reason)
            for partition in range(log.partitions)
        ]


async def announce(
    log: Log, scripts: Scripts, archive: ArchiveStore, rows: Rows, ring: Keyring
) -> Rotated | None:
    """Say in a partition's log that the newest key signs, where the last head is not by it: a key that was
    announced while no engine ran. For who holds the archiver's lease and signs with that key."""
    if len(ring.keys) < 2:
        return None
    found = await rows.newest_head()
    raw = found[0] if found else b""
    if not raw:
        with contextlib.suppress(NotFoundError):
            raw = await asyncio.to_thread(archive.read, layout.checkpoint(rows.tree))
    signers = {one.id for one in notes.parse_note(raw).signatures} if raw else set()
    if not raw or ring.newest.id in signers:
        return None
    ids = ring.keys[-2].id.hex(), ring.newest.id.hex()
    reason = "the archiver has the new key"
    return await _say(log, scripts, rows.tree.partition, *ids, by="system", reason=reason)


async def _say(
    log: Log, scripts: Scripts, partition: int, old: str, new: str, *, by: str, reason: str
) -> Rotated:
    # Whatever the old key signed, it read in the log before.
    size = await log.position(partition)
    data = KeyRotated(previous=old, key=new, size=size, reason=reason)
    position = await note(
        log.client,
        scripts,
        log.namespace,
        data,
        op=f"rotate:{new}",
        by=by,
        partition=partition,
    )
    entry = await log.entry(partition, position)
    said = entry.event().data if entry else data  # as it was said at first
    return Rotated(partition, position, said.size if isinstance(said, KeyRotated) else size)
