"""Owns the growing end of a tree: follows the log, signs tree heads, and publishes the newest.

A head is signed only after a consistency proof from the last signed one was checked: this log never signs
two histories.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from triton.archive import ArchiveStore
from triton.errors import LogForkedError, NotFoundError, TritonError
from triton.events.log import Checkpoint, Log
from triton.evidence import layout, notes, segment, tiled, tree
from triton.evidence.grown import Grown, consistency
from triton.evidence.ledger import Ledger
from triton.evidence.notes import Signer, TreeHead
from triton.evidence.rows import Segment
from triton.evidence.source import Source
from triton.evidence.tree import Frontier
from triton.observe.logger import get_logger

#: Events in one read.
PAGE: Final = 500
#: Milliseconds that one read waits for an event, at most.
BLOCK_MS: Final = 500
#: Seconds between two heads while nothing happens.
IDLE: Final = 60.0
#: Events after which a head is signed, whatever the time.
_MANY: Final = 65_536


class Follower:
    """Keeps the tree of one partition up to the end of its log."""

    def __init__(
        self,
        log: Log,
        archive: ArchiveStore,
        ledger: Ledger,
        source: Source,
        signer: Signer,
        origin: str,
        *,
        head_ms: int,
    ) -> None:
        self.tree = Grown(Frontier())
        #: The size of the last signed head; -1 before there is one.
        self.signed_size = -1
        self._log = log
        self._archive = archive
        self._ledger = ledger
        self._source = source
        self._signer = signer
        self._origin = origin
        self._head_seconds = head_ms / 1000
        self._partition = ledger.tree.partition
        self._at = Checkpoint(ledger.tree.epoch, 0, "")
        self._signed = (Frontier(), tree.EMPTY_ROOT)
        #: By the monotonic clock: the first event that no head covers came; the last head was signed.
        self._fresh_since: float | None = None
        self._signed_at = -IDLE
        self._signing = asyncio.Lock()
        self._unpublished: bytes | None = None
        #: The last head that was signed here, as it is published; empty before.
        self.newest_note = b""
        self._publishing: asyncio.Task[None] | None = None
        self._say = get_logger("triton.archiver").bind(partition=self._partition)

    @property
    def position(self) -> int:
        return self.tree.size

    async def start(self, sealed: list[Segment], at: Checkpoint) -> None:
        """Begin at the end of the sealed segments, and follow at least to the last signed head.

        Raises LogForkedError where the log is not the one that was signed, EvidenceError.
        """
        frontier = await asyncio.to_thread(tiled.frontier, self._archive, self._ledger.tree, sealed)
        self.tree = Grown(frontier)
        self._at = at
        head = await self._newest()
        if head is None:
            self._signed = (frontier, frontier.root())
            return
        if head.size <= frontier.size:
            await asyncio.to_thread(self._check_older, head, frontier, sealed)
            self._signed = (frontier, frontier.root())
        else:
            await self._follow_to(head)
        self.signed_size = head.size
        self._say.info("archiver.head_found", size=head.size, sealed=frontier.size)

    async def step(self, *, block_ms: int = BLOCK_MS) -> bool:
        """Read what follows, waiting for it a little, and sign when it is time. Whether anything came."""
        came = await self._read(PAGE, block_ms=block_ms)
        now = time.monotonic()
        if came and self._fresh_since is None:
            self._fresh_since = now
        if self._is_due(now):
            await self.sign()
        return came

    async def sign(self) -> None:
        """Sign a head of all that was read. Raises LogForkedError, UnavailableError, FencedError."""
        async with self._signing:
            await self._sign()

    async def _sign(self) -> None:
        old, root = self._signed
        leaves = self.tree.leaves(old.size, self.tree.size)
        new, digest = self.tree.frontier, self._at.digest
        proof = consistency(old, leaves)
        if not tree.verify_consistency(old.size, new.size, proof, root, new.root()):
            raise self._forked(
                f"the tree of {new.size} events does not begin with the one of {old.size} that was signed",
                old.size,
            )
        head = TreeHead(self._origin, new.size, new.root())
        note = await asyncio.to_thread(notes.sign_head, head, [self._signer])
        await self._ledger.add_head(head, note, digest)
        self._signed = (new, new.root())
        self.signed_size = new.size
        self._signed_at = time.monotonic()
        self._fresh_since = None
        self._unpublished = self.newest_note = note
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish())

    async def sign_sealed(self, size: int, digest: str) -> None:
        """Have a signed head of exactly so many events, which were read; the digest is of the last of them.

        Who has the segments only can compute no root of an event behind them: a head of more events would
        prove nothing to them.
        """
        async with self._signing:
            if self.signed_size < size:
                await self._sign()
            if self.signed_size != size:
                head = TreeHead(self._origin, size, self.tree.frontier_at(size).root())
                note = await asyncio.to_thread(notes.sign_head, head, [self._signer])
                await self._ledger.add_head(head, note, digest)

    async def published(self) -> None:
        """Wait until the newest head is published, or was refused."""
        if self._publishing is not None:
            await asyncio.wait({self._publishing})

    def close(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()

    def _is_due(self, now: float) -> bool:
        if now - self._signed_at >= IDLE or self.tree.size - max(0, self.signed_size) >= _MANY:
            return True
        return self._fresh_since is not None and now - self._fresh_since >= self._head_seconds

    async def _read(self, count: int, *, block_ms: int = 0) -> bool:
        page = await self._source.page(self._at, count=count, block_ms=block_ms)
        if page is None:
            return False
        self.tree.add(tree.leaf_hashes(segment.records_of(page)))
        self._at = Checkpoint(
            self._at.epoch, page.positions[-1], page.entry(page.size - 1).digest()
        )
        return True

    async def _newest(self) -> TreeHead | None:
        """The last head that was signed for this tree, as PostgreSQL or else the archive knows it."""
        found = await self._ledger.newest_head()
        raw = found[0] if found else None
        if raw is None:
            with contextlib.suppress(NotFoundError):
                key = layout.checkpoint(self._ledger.tree)
                raw = await asyncio.to_thread(self._archive.read, key)
        return notes.parse_head(notes.parse_note(raw).text) if raw is not None else None

    async def _follow_to(self, head: TreeHead) -> None:
        end = await self._log.position(self._partition)
        if end < head.size:
            raise self._forked(
                f"it ends at {end}, but a head of {head.size} events was signed", end + 1
            )
        while self.tree.size < head.size:
            await self._read(min(PAGE, head.size - self.tree.size))
        if self.tree.frontier.root() != head.root:
            raise self._forked(
                f"its first {head.size} events do not have the root that was signed for them",
                head.size,
            )
        self._signed = (self.tree.frontier, head.root)

    def _check_older(self, head: TreeHead, frontier: Frontier, sealed: list[Segment]) -> None:
        reader = tiled.hash_reader(self._archive, self._ledger.tree, sealed)
        proof = reader.consistency(head.size)
        if not tree.verify_consistency(head.size, frontier.size, proof, head.root, frontier.root()):
            raise self._forked(
                f"what is archived up to {frontier.size} does not begin with the {head.size} events that "
                "were signed",
                head.size,
            )

    async def _publish(self) -> None:
        """Put the newest head where everybody looks. What fails goes with the next one: PostgreSQL has it."""
        key = layout.checkpoint(self._ledger.tree)
        while (note := self._unpublished) is not None:
            self._unpublished = None
            try:
                await asyncio.to_thread(self._archive.replace, key, note)
            except TritonError as error:
                self._say.warning("archiver.checkpoint_not_published", error=error.message)

    def _forked(self, what: str, position: int) -> LogForkedError:
        return LogForkedError(
            f"partition {self._partition} is another log than was signed: {what}; find out why (a failover "
            "that lost its tail?), then run `triton log adopt`",
            partition=self._partition,
            position=position,
        )
