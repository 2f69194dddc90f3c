"""Owns the archiver of one partition: follows and signs, seals, trims, as long as it holds the lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from triton.archive import ArchiveStore
from triton.checkpoints.keeping import pause
from triton.checkpoints.lease import Lease
from triton.ending import ended
from triton.errors import HoleError, NotFoundError, UnavailableError
from triton.events.codec import digest_of
from triton.events.log import Log
from triton.events.scripts import Scripts
from triton.events.troubles import note_trouble
from triton.evidence import tiled
from triton.evidence.anchoring import SECONDS as ANCHOR_SECONDS
from triton.evidence.anchoring import Anchors
from triton.evidence.beginning import Beginning
from triton.evidence.bounds import Bounds, Holds
from triton.evidence.heads import Follower
from triton.evidence.holding import LegalHolds
from triton.evidence.layout import Tree
from triton.evidence.ledger import Ledger
from triton.evidence.notes import Signer
from triton.evidence.sealing import Sealer
from triton.evidence.source import Source
from triton.evidence.trimming import Trimmer
from triton.observe.logger import get_logger
from triton.observe.signs import Part
from triton.settings import Settings

#: Seconds between two looks at what may be trimmed, and at what may be sealed.
_TRIM_SECONDS: Final = 2.0
_SEAL_SECONDS: Final = 0.2
#: Seconds until what an engine refused is tried again: at first, and at most.
_FIRST: Final = 0.2
_LONGEST: Final = 10.0


#: Settings that decide what leaves Redis.
TRIMS_BY: Final = ("keep_events", "keep_ms", "hold_events")


class Archiver:
    """One partition. `lease` is of the projector name `archiver`; `signer` signs tree heads; of `parts` the
    first follows the log and the second seals."""

    def __init__(
        self,
        log: Log,
        archive: ArchiveStore,
        lease: Lease,
        signer: Signer,
        settings: Settings,
        *,
        projectors: Sequence[str],
        holds: Sequence[Holds] = (),
        head_ms: int | None = None,
        parts: tuple[Part, Part] | None = None,
    ) -> None:
        partition = lease.partition
        self._following, self._sealing = parts or (Part(), Part())
        self._log = log
        self.tree = Tree(log.namespace, partition, log.epochs[partition])
        self.ledger = Ledger(lease, self.tree)
        origin = self.tree.origin(settings.origin)
        self._archive = archive
        self._beginning = Beginning(self.ledger, archive, signer, settings.origin)
        self._trims_by = {name: getattr(settings, name) for name in TRIMS_BY}
        self._source = Source(log, archive, self.ledger)
        self.follower = Follower(
            log,
            archive,
            self.ledger,
            self._source,
            signer,
            origin,
            head_ms=settings.head_ms if head_ms is None else head_ms,
        )
        self.sealer = Sealer(
            log,
            archive,
            self.ledger,
            self._source,
            self.follower,
            origin,
            seal_events=settings.seal_events,
            seal_ms=settings.seal_ms,
        )
        self.bounds = Bounds(
            log,
            self.ledger,
            projectors=projectors,
            keep_events=settings.keep_events,
            keep_ms=settings.keep_ms,
            holds=[LegalHolds(log, self.ledger, hold_events=settings.hold_events), *holds],
        )
        self.trimmer = Trimmer(
            log,
            self.ledger,
            self._source,
            self.bounds,
            Scripts(),
            result_ms=settings.result_ms,
        )
        self.anchors = Anchors(
            self.follower, lambda: self.sealer.frontier, self.ledger, archive, signer, settings
        )
        self._say = get_logger("triton.archiver").bind(partition=partition)

    async def start(self) -> None:
        """Find where the last one ended. Raises LogError, EvidenceError, UnavailableError."""
        lease = self.ledger.lease
        await self.ledger.declare(self._trims_by)
        await self._beginning.remembered()
        known = await self.ledger.segments()
        found = await self._beginning.recovered(known) or await self._beginning.inherited()
        if found == known:
            await self._validate()
        sealed = [one for one in found if one.sealed]
        end = sealed[-1].last if sealed else 0
        if lease.checkpoint.position != end:
            # A new tree, after an adoption; its first events may be in the archive only.
            readable = bool(sealed) and not sealed[-1].expired
            digest = digest_of(await self._source.record(end)) if readable else ""
            await self.ledger.place(end, digest)
            await self._validate()
        await self._beginning.declare()
        await self.follower.start(sealed, lease.checkpoint)
        frontier = await asyncio.to_thread(tiled.frontier, self._archive, self.tree, sealed)
        self.sealer.start(frontier, found)

    async def _validate(self) -> None:
        """Raises LogForkedError; HoleError where what follows is nowhere."""
        lease = self.ledger.lease
        try:
            await self._log.validate(lease.partition, lease.checkpoint)
        except HoleError:
            # What follows may be in the segments of an earlier life: the follower reads it there, or stops.
            if not await self.ledger.earlier():
                raise

    async def turn(self) -> None:
        """Everything there is to do now, once."""
        while await self.follower.step(block_ms=0):
            pass
        while await self.sealer.step():
            pass
        await self.trimmer.step()
        await self.anchors.step()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises LogError, EvidenceError, FencedError, and the drivers' errors."""
        await self.start()
        self._say.info(
            "archiver.started",
            epoch=self.tree.epoch,
            sealed=self.sealer.sealed,
            position=self.follower.position,
        )
        tasks = [
            asyncio.ensure_future(self._follow(stop)),
            asyncio.ensure_future(self._again(stop, self._seal, _SEAL_SECONDS)),
            asyncio.ensure_future(self._again(stop, self.trimmer.step, _TRIM_SECONDS)),
            asyncio.ensure_future(self._renew(stop)),
        ]
        if self.anchors.any:
            tasks.append(
                asyncio.ensure_future(self._again(stop, self.anchors.step, ANCHOR_SECONDS))
            )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            await ended(tasks)
            self.follower.close()

    async def _follow(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.follower.step()
            self._following.moved()
        # What is in the log is covered by a head before this ends.
        while await self.follower.step(block_ms=0):
            pass
        if self.follower.signed_size < self.follower.position:
            await self.follower.sign()
        await self.follower.published()

    async def _seal(self) -> bool:
        sealed = await self.sealer.step()
        self._sealing.moved()
        return sealed

    async def _again(
        self, stop: asyncio.Event, step: Callable[[], Awaitable[object]], seconds: float
    ) -> None:
        """Repeat a step; at once where it did something. What is away is waited for, and the others go on."""
        delay = _FIRST
        while not stop.is_set():
            begun = time.monotonic()
            try:
                if await step():
                    delay = _FIRST
                    continue
                wait = seconds
                delay = _FIRST
            except (UnavailableError, NotFoundError) as error:
                wait, delay = delay, min(2 * delay, _LONGEST)
                self._say.warning("archiver.waiting", error=error.message, again_in_seconds=wait)
                await note_trouble(self._log.client, self._log.namespace, "archiver", "waiting")
            await pause(stop, max(0.0, wait - (time.monotonic() - begun)))

    async def _renew(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.ledger.renew()
            await pause(stop, self.ledger.lease.seconds / 3)
