"""Owns where the archiver reads a partition's log: in Redis, and what an earlier life of it shares and was
trimmed, in that life's segments."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, HoleError
from triton.events.entries import Entry, Page
from triton.events.log import Checkpoint, Log
from triton.evidence import segment
from triton.evidence.rows import Rows, Segment

_decode = msgspec.msgpack.Decoder(list[int | bytes]).decode


class Source:
    """Pages of one partition, position by position."""

    def __init__(self, log: Log, archive: ArchiveStore, rows: Rows) -> None:
        self._log = log
        self._archive = archive
        self._rows = rows
        self._partition = rows.tree.partition
        self._held: tuple[str, bytes, segment.Footer] | None = None

    async def page(self, at: Checkpoint, *, count: int, block_ms: int = 0) -> Page | None:
        """Up to `count` entries after what was read before; None for none. `block_ms` waits for the first.

        Raises LogForkedError where the log is not the one that was read before, HoleError where a position
        is neither in Redis nor in an earlier life's segment.
        """
        after = at.position
        try:
            page = (
                await self._log.wait_page(self._partition, after, block_ms=block_ms, count=count)
                if block_ms
                else await self._log.page(self._partition, after, count=count)
            )
        except HoleError:
            first = await self._log.first_position(self._partition)
            older = await self._older(after + 1, first - 1) if first > after + 1 else None
            if older is None:
                raise
            return older.part(0, count)
        # After reading, before it is used: a failover between two reads must not pass unnoticed.
        await self._log.validate(self._partition, at)
        return page

    async def record(self, position: int) -> bytes:
        """What the archive has of the entry at a position that is in a segment of this tree."""
        return (await self._entry(position)).record()

    async def values(self, position: int) -> list[bytes]:
        """The values of its fields."""
        return list((await self._entry(position)).fields[1::2])

    async def _entry(self, position: int) -> Entry:
        for found in await self._rows.segments(after=position, limit=1):
            page = await self._block(found, position)
            return page.entry(position - page.positions[0])
        raise EvidenceError(
            f"no segment of {self._rows.tree.prefix} holds position {position}: run `triton audit verify`"
        )

    async def _older(self, position: int, until: int) -> Page | None:
        for tree, common in await self._rows.earlier():
            if position > common:
                continue
            for found in await self._rows.segments_of(tree, after=position):
                if found.sealed and not found.expired and found.first <= position:
                    page = await self._block(found, position)
                    begin = position - page.positions[0]
                    return page.part(begin, begin + min(until, common) - position + 1)
        return None

    async def _block(self, found: Segment, position: int) -> Page:
        data, footer = await self._read(found)
        block = footer.blocks[footer.block_at(position)]
        records = segment.read_block(lambda offset, size: data[offset : offset + size], block)
        return page_of_records(self._partition, records)

    async def _read(self, found: Segment) -> tuple[bytes, segment.Footer]:
        if self._held is None or self._held[0] != found.key:
            data = await asyncio.to_thread(self._archive.read, found.key)
            check_hash(found.key, data, found.sha256)
            footer = segment.read_footer(lambda at, size: data[at : at + size], len(data))
            self._held = (found.key, data, footer)
        return self._held[1:]


def page_of_records(partition: int, records: list[bytes]) -> Page:
    """The page that these records are of: at least one. Raises EvidenceError."""
    try:
        positions, *columns = zip(*map(_decode, records), strict=True)
    except (msgspec.MsgspecError, ValueError) as error:
        raise EvidenceError(
            f"a segment holds what is no record of an entry ({error}): "
            "bring it back from another copy of the archive"
        ) from error
    return Page(partition, positions, columns)


def check_hash(key: str, data: bytes, sha256: str | None) -> None:
    """Raises EvidenceError unless the bytes have the hash (hex)."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise EvidenceError(
            f"{key} has the SHA-256 {found}, expected {sha256}: it is not what was put there; nothing was "
            "trimmed for it; bring it back from another copy of the archive",
            key=key,
        )
