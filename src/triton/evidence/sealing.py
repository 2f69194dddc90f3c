"""Owns sealing: a range of the log goes into the archive, is read back, and a signed head covers it.

Each step may be repeated: the range is fixed in PostgreSQL before the first byte is put, and an object that
is there with the same content is success. What is hashed into tiles and root is what was read back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from triton.archive import ArchiveStore
from triton.errors import ConflictError, EvidenceError, HoleError, LogForkedError
from triton.events.entries import Page
from triton.events.envelope import AT, TYPE
from triton.events.log import Checkpoint, Log
from triton.evidence import layout, manifest, segment, tiles, tree
from triton.evidence.heads import PAGE, Follower
from triton.evidence.ledger import Ledger
from triton.evidence.manifest import Manifest
from triton.evidence.rows import Segment
from triton.evidence.segment import Written
from triton.evidence.source import Source, check_hash
from triton.evidence.tree import Frontier
from triton.observe.logger import get_logger

#: Seconds after which signed heads go into the archive, also when nothing is sealed.
HEADS_SECONDS: Final = 3600.0


class _Built(NamedTuple):
    written: Written
    types: Counter[bytes]
    #: Of the last entry.
    digest: str


class Sealer:
    """Seals one partition's log, segment by segment."""

    def __init__(
        self,
        log: Log,
        archive: ArchiveStore,
        ledger: Ledger,
        source: Source,
        follower: Follower,
        origin: str,
        *,
        seal_events: int,
        seal_ms: int,
    ) -> None:
        self._log = log
        self._archive = archive
        self._ledger = ledger
        self._source = source
        self._follower = follower
        self._origin = origin
        self._seal_events = seal_events
        self._seal_ms = seal_ms
        self._partition = ledger.tree.partition
        self._frontier = Frontier()
        self._previous = ""
        #: The segment that was begun, and the time of the first event behind those that are sealed.
        self._open: Segment | None = None
        self._first_at: int | None = None
        self._heads_put = time.monotonic()
        self._say = get_logger("triton.archiver").bind(partition=self._partition)

    @property
    def frontier(self) -> Frontier:
        """After the last sealed position."""
        return self._frontier

    @property
    def sealed(self) -> int:
        """The last sealed position."""
        return self._frontier.size

    def start(self, frontier: Frontier, segments: Sequence[Segment]) -> None:
        """Begin behind the last sealed segment, with the one that was begun."""
        self._frontier = frontier
        for found in segments:
            if found.sealed:
                self._previous = found.manifest_sha256 or ""
            else:
                self._open = found

    async def step(self) -> bool:
        """Seal the next segment, if there is one to be sealed. Whether there was."""
        if self._open is None:
            until = await self._end_of_next()
            if until is None:
                if time.monotonic() - self._heads_put >= HEADS_SECONDS:
                    await self.put_heads()
                return False
            self._open = await self._ledger.fix(self.sealed + 1, until)
        begun, last = time.monotonic(), self._open
        await self._seal(last)
        self._open, self._first_at = None, None
        self._say.info(
            "archiver.sealed",
            first=last.first,
            last=last.last,
            seconds=round(time.monotonic() - begun, 3),
        )
        return True

    async def put_heads(self) -> None:
        """Put the signed heads that are in PostgreSQL only."""
        for key, found in await self._ledger.gather_heads():
            await asyncio.to_thread(self._archive.put_new, key, join_heads(found))
            await self._ledger.heads_stored(key)
        self._heads_put = time.monotonic()

    async def _end_of_next(self) -> int | None:
        """The last position of the next segment, where one is due: by its size, or its first event's age."""
        available = self._follower.position - self.sealed
        if available >= self._seal_events:
            return self.sealed + self._seal_events
        if available <= 0:
            return None
        if self._first_at is None:
            page = await self._source.page(self._ledger.lease.checkpoint, count=1)
            if page is None:
                return None
            self._first_at = int(page.columns[AT][0])
        age_ms = time.time() * 1000 - self._first_at / 1000
        return self._follower.position if age_ms >= self._seal_ms else None

    async def _seal(self, open_: Segment) -> None:
        built = await self._build(open_)
        data = await self._put(open_.key, built.written)
        records = await asyncio.to_thread(lambda: list(segment.read_all(data)))
        frontier, made = await asyncio.to_thread(self._grow, records)
        self._compare(open_, frontier)
        for tile, raw in made:
            key = layout.tile(self._ledger.tree, tile)
            await asyncio.to_thread(self._archive.put_new, key, raw)
        described = self._manifest(open_, built, data, frontier)
        raw = manifest.encode(described)
        key = layout.manifest_of(open_.key)
        await asyncio.to_thread(self._archive.put_new, key, raw)
        if await asyncio.to_thread(self._archive.read, key) != raw:
            raise EvidenceError(
                f"the archive gives back something else than the manifest that was put as {key}: "
                "find out who writes there",
                key=key,
            )
        if open_.state == "sealing":
            await self._ledger.stored(described, manifest.digest(raw))
        await self._follower.sign_sealed(open_.last, built.digest)
        await self.put_heads()
        await self._ledger.sealed(open_.first, open_.last, built.digest)
        self._follower.tree.seal(open_.last)
        self._frontier = frontier
        self._previous = manifest.digest(raw)

    async def _build(self, open_: Segment) -> _Built:
        """The segment as the log gives it."""
        behind = self._follower.position - open_.last >= self._seal_events
        writer = segment.Writer(self._partition, self._ledger.tree.epoch, hurried=behind)
        types: Counter[bytes] = Counter()
        at = self._ledger.lease.checkpoint
        while at.position < open_.last:
            page = await self._source.page(at, count=min(PAGE, open_.last - at.position))
            if page is None:
                raise LogForkedError(
                    f"partition {self._partition} ends at {at.position}, but the segment up to {open_.last} "
                    "was begun: its tail was lost; run `triton log adopt`",
                    partition=self._partition,
                    position=at.position + 1,
                )
            writer.add(page)
            types.update(page.columns[TYPE])
            at = _at_end(at.epoch, page)
        return _Built(await asyncio.to_thread(writer.finish), types, at.digest)

    async def _put(self, key: str, written: Written) -> bytes:
        """Put a segment, and answer what the archive has: the same, or the same records packed otherwise by
        another version."""
        try:
            await asyncio.to_thread(self._archive.put_new, key, written.data)
        except ConflictError:
            found = await asyncio.to_thread(self._archive.read, key)
            if list(segment.read_all(found)) != list(segment.read_all(written.data)):
                raise
            return found
        found = await asyncio.to_thread(self._archive.read, key)
        check_hash(key, found, written.sha256)
        return found

    def _grow(self, records: list[bytes]) -> tuple[Frontier, list[tuple[tiles.Tile, bytes]]]:
        """The tree after these records, and its new tiles."""
        return tiles.grow(
            self._frontier,
            tree.leaf_hashes(records),
            lambda tile: self._archive.read(layout.tile(self._ledger.tree, tile)),
        )

    def _compare(self, open_: Segment, frontier: Frontier) -> None:
        """What is archived must be what was followed and is signed."""
        if self._follower.position < open_.last:
            raise HoleError(
                f"the segment up to {open_.last} is to be sealed, but the log was followed to "
                f"{self._follower.position} only",
                partition=self._partition,
                position=open_.last,
            )
        followed = self._follower.tree.frontier_at(open_.last)
        if frontier.size != open_.last or followed.root() != frontier.root():
            raise LogForkedError(
                f"the archived segment {open_.key} is not what the log of partition {self._partition} held "
                "when it was followed; nothing was trimmed; run `triton audit verify`",
                partition=self._partition,
                position=open_.first,
            )

    def _manifest(self, open_: Segment, built: _Built, data: bytes, frontier: Frontier) -> Manifest:
        blocks = built.written.footer.blocks
        return Manifest(
            origin=self._origin,
            partition=self._partition,
            epoch=self._ledger.tree.epoch,
            first_position=open_.first,
            last_position=open_.last,
            events=open_.last - open_.first + 1,
            types={kind.decode(): count for kind, count in built.types.items()},
            first_at=blocks[0].first_at,
            last_at=blocks[-1].last_at,
            key=open_.key,
            size=len(data),
            sha256=segment.sha256_of(data),
            root=frontier.root().hex(),
            previous=self._previous,
            peaks=tuple(peak.hex() for peak in frontier.peaks),
        )


def join_heads(found: Sequence[bytes]) -> bytes:
    """Signed notes as one text: an empty line stands between two. Equal ones that follow one another (the
    tree did not grow) stand there once."""
    distinct = [note for index, note in enumerate(found) if index == 0 or note != found[index - 1]]
    return b"\n".join(distinct)


def _at_end(epoch: str, page: Page) -> Checkpoint:
    return Checkpoint(epoch, page.positions[-1], page.entry(page.size - 1).digest())
