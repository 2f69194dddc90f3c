"""Owns the proof that one event is in the log: made of tiles, segments and the live log, and tried."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, ExpiredError, NotFoundError
from triton.events.log import Log
from triton.evidence import layout, notes, proofs, segment, tiled, tree
from triton.evidence.layout import Tree
from triton.evidence.notes import TreeHead, VerifierKey
from triton.evidence.proofs import Proof
from triton.evidence.tiles import WIDTH, HashReader

#: Seconds that a fresh event is waited for to be covered by a signed head.
PATIENCE: Final = 10.0
_LOOK: Final = 0.2
_PAGE: Final = 4096


class _Covering(NamedTuple):
    """A signed head, and the tree that it covers."""

    note: bytes
    size: int
    reader: HashReader


class Prover:
    """Proofs of one partition's events. `log` reads all of it, live entries and archived ones; `keys` are the
    namespace's, the newest last.

    Head, tiles and leaves are read once: proofs in the order of positions cost one pass over them.
    """

    def __init__(
        self,
        log: Log,
        archive: ArchiveStore,
        partition: int,
        keys: Sequence[VerifierKey],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._log = log
        self._archive = archive
        self._tree = Tree(log.namespace, partition, log.epochs[partition])
        self._keys = keys
        self._origin = self._tree.origin(keys[-1].name) if keys else ""
        self._patience = patience
        self._covering: _Covering | None = None
        #: The last records that were read: the first one's leaf, and 256 at most.
        self._read: tuple[int, list[bytes]] = (0, [])

    async def prove(self, position: int) -> Proof:
        """The proof against a signed head that covers the position; the newest one, at the first call.

        Raises NotFoundError for a position that the log does not have, ExpiredError for one that expired,
        EvidenceError where no head covers it in time or the log is not what was signed, HoleError,
        UnavailableError.
        """
        partition = self._tree.partition
        end = await self._log.position(partition)
        if not 1 <= position <= end:
            held = f"holds 1 to {end}" if end else "is empty"
            raise NotFoundError(
                f"Partition {partition} has no position {position}: it {held}.",
                position=position,
            )
        if self._covering is None or self._covering.size < position:
            self._covering = await self._cover(position)
        covering = self._covering
        record = await self._record(position, covering.size)
        hashes = await asyncio.to_thread(covering.reader.inclusion, position - 1)
        proof = Proof(position - 1, tuple(hashes), covering.note, record)
        proofs.verify_proof(proof, self._keys, self._origin)
        return proof

    async def _record(self, position: int, size: int) -> bytes:
        start, records = self._read
        if not 0 <= position - 1 - start < len(records):
            start = (position - 1) // WIDTH * WIDTH
            try:
                records = await self._records(start, min(start + WIDTH, size))
            except ExpiredError:  # of what stands before it
                start, records = position - 1, await self._records(position - 1, position)
            self._read = start, records
        return records[position - 1 - start]

    async def _cover(self, position: int) -> _Covering:
        raw, head = await self._head(position)
        sealed, expired = await asyncio.to_thread(self._sealed, head.size)
        loop = asyncio.get_running_loop()

        def read_leaves(first: int, after: int) -> list[bytes]:
            hashes: list[bytes] = []
            for begin, end in expired:
                if begin <= after and end > first:
                    key = layout.segment(self._tree, begin, end)
                    asked = max(begin, first + 1), min(end, after)
                    hashes += tiled.kept_leaves(self._archive, key, begin, *asked)
            begin = first + len(hashes)
            start, records = self._read
            if start <= begin and after <= start + len(records):
                return hashes + tree.leaf_hashes(records[begin - start : after - start])
            found = asyncio.run_coroutine_threadsafe(self._records(begin, after), loop)
            return hashes + tree.leaf_hashes(found.result())

        reader = HashReader(
            head.size,
            sealed,
            lambda tile: self._archive.read(layout.tile(self._tree, tile)),
            read_leaves,
        )
        return _Covering(raw, head.size, reader)

    async def _head(self, position: int) -> tuple[bytes, TreeHead]:
        """The newest signed head, as soon as it covers the position."""
        deadline = time.monotonic() + self._patience
        while True:
            found = await asyncio.to_thread(self._newest)
            if found is not None and found[1].size >= position:
                return found
            if time.monotonic() > deadline:
                size = found[1].size if found else 0
                raise EvidenceError(
                    f"No signed head covers position {position} yet: the newest one of {self._origin} has "
                    f"{size} events. Is the archiver running?",
                    position=position,
                )
            await asyncio.sleep(_LOOK)

    def _newest(self) -> tuple[bytes, TreeHead] | None:
        with contextlib.suppress(NotFoundError):
            raw = self._archive.read(layout.checkpoint(self._tree))
            return raw, notes.open_head(raw, self._keys, self._origin)
        return None

    def _sealed(self, size: int) -> tuple[int, list[tuple[int, int]]]:
        """The last position whose tiles are in the archive for sure, the end of a manifest's segment; and the
        segments of which only hashes are there, the oldest first."""
        keys = set(self._archive.list(layout.segments(self._tree)))
        ends, expired = [0], []
        for key in keys:
            stem, _, kind = key.rpartition(".")
            found = layout.range_of(f"{stem}.zst")
            if kind == "json" and found and found[1] <= size:
                ends.append(found[1])
            if kind == "leaves" and found and f"{stem}.zst" not in keys:
                expired.append(found)
        return max(ends), sorted(expired)

    async def _records(self, first: int, after: int) -> list[bytes]:
        """The records of leaves `first` up to before `after`."""
        records: list[bytes] = []
        while first + len(records) < after:
            at = first + len(records)
            page = await self._log.page(
                self._tree.partition, at, until=after, count=min(_PAGE, after - at)
            )
            if page is None:
                raise EvidenceError(
                    f"The log of partition {self._tree.partition} ends at {at}, but a head of more events "
                    "was signed: its tail was lost. Run `triton audit verify`.",
                    position=at + 1,
                )
            records += segment.records_of(page)
        return records
