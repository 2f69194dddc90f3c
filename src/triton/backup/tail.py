"""Owns the end of the log in a backup: what the archive's copy does not have, as segment files.

They have the archive's form, so that one reader serves both; nothing is signed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from triton.backup.manifest import LOG, Partition, put
from triton.events.entries import Entry
from triton.evidence import segment
from triton.history import History
from triton.restore.entries import entry_of_record

#: Events of one file at most, which is made in memory.
_EVENTS: Final = 50_000


async def write(log: History, folder: Path, partition: int, first: int, last: int) -> None:
    """The entries from one position to another, also those that leave Redis meanwhile. Raises HoleError."""
    while first <= last:
        end = min(last, first + _EVENTS - 1)
        writer = segment.Writer(partition, log.epochs[partition])
        async for page in log.pages(partition, first, end):
            writer.add(page)
        name = f"{LOG}/p{partition}/{first:020d}-{end:020d}.zst"
        made = await asyncio.to_thread(writer.finish)
        await asyncio.to_thread(put, folder / name, made.data)
        first = end + 1


class Tail:
    """The end of the log, for who restores it."""

    def __init__(self, folder: Path, partitions: Sequence[Partition]) -> None:
        self._folder = folder
        self._known = {one.partition: one for one in partitions}

    def kept(self, partition: int, epoch: str) -> tuple[int, int]:
        """The first and the last position that are here of a life of the log; (0, 0) for none."""
        known = self._known.get(partition)
        if known is None or known.epoch != epoch or known.end <= known.archived:
            return 0, 0
        return known.archived + 1, known.end

    def entries(self, partition: int, after: int) -> Iterator[Entry]:
        """Those after a position, as they were. Raises EvidenceError."""
        for path in sorted((self._folder / LOG / f"p{partition}").glob("*.zst")):
            if int(path.stem.partition("-")[2]) <= after:
                continue
            for record in segment.read_all(path.read_bytes()):
                entry = entry_of_record(partition, record)
                if entry.position > after:
                    yield entry
