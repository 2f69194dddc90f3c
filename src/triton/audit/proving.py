"""Owns the proof that one event is in the log: made of tiles, segments and the live log, and tried."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, NotFoundError
from triton.events.log import Log
from triton.evidence import layout, notes, proofs, segment, tiled, tree
from triton.evidence.layout import Tree
from triton.evidence.notes import TreeHead, VerifierKey
from triton.evidence.proofs import Proof
from triton.evidence.tiles import HashReader

#: Seconds that a fresh event is waited for to be covered by a signed head.
PATIENCE: Final = 10.0
_LOOK: Final = 0.2
_PAGE: Final = 4096


class Prover:
    """Proofs of one partition's events. `log` reads all of it, live entries and archived ones; `keys` are the
    namespace's, the newest last."""

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

    async def prove(self, position: int) -> Proof:
        """The proof against the newest signed head that covers the position.

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
        raw, head = await self._head(position)
        (record,) = await self._records(position - 1, position)
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
            found = asyncio.run_coroutine_threadsafe(self._records(begin, after), loop)
            return hashes + tree.leaf_hashes(found.result())

        reader = HashReader(
            head.size,
            sealed,
            lambda tile: self._archive.read(layout.tile(self._tree, tile)),
            read_leaves,
        )
        hashes = await asyncio.to_thread(reader.inclusion, position - 1)
        proof = Proof(position - 1, tuple(hashes), raw, record)
        proofs.verify_proof(proof, self._keys, self._origin)
        return proof

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
