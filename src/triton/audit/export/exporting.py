"""Owns an export: the events of some instants that fit a filter, their proofs, and the manifest of it all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

import triton
from triton.archive import ArchiveStore, TooLargeError
from triton.audit.export.rows import COLUMNS, Row, row_of
from triton.audit.export.writers import NAMES, Format, Writer, writer
from triton.audit.instants import Cut
from triton.audit.proving import Prover
from triton.errors import ConflictError, NotFoundError, ValidationError
from triton.events.render import rfc3339
from triton.evidence import keyring, layout
from triton.history import Filter, History

MANIFEST: Final = "manifest.json"
KEYS: Final = "keys"
PROOFS: Final = "proofs"
#: Bytes that are hashed at a time.
_READ: Final = 1 << 20


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the export, by its name in the folder; `sha256` in hex."""

    name: str
    size: int
    sha256: str


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked through of a partition: all positions from `first` to `last`, of which `events` fit.

    `head` is the newest signed tree head (a C2SP checkpoint) when the export was made; null where none is.
    `expired` is the last position that had expired then, and so is not in it; 0 for none.
    """

    partition: int
    epoch: str
    first: int
    last: int
    events: int
    head: str | None
    expired: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export is. `asked` is the filter, as it was asked for; times are RFC 3339."""

    kind: str = "triton.audit.export"
    version: int = 1
    triton: str
    made_at: str
    made_by: str
    reason: str
    namespace: str
    format: str
    columns: Sequence[str]
    asked: dict[str, str]
    partitions: list[Covered]
    events: int
    types: dict[str, int]
    proofs: int
    files: list[File]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported: events after one instant (None: from the beginning) up to another one."""

    format: Format
    asked: dict[str, str]
    after: Cut | None
    upto: Cut
    chosen: Filter
    proofs: bool = False
    #: Events at most; None for as many as there are.
    most: int | None = None
    by: str
    reason: str = ""
    now: int


class Export:
    """One export into one folder. `archive` is opened where heads or proofs are to be had."""

    def __init__(
        self,
        history: History,
        folder: Path,
        wanted: Wanted,
        archive: Callable[[], ArchiveStore] | None,
    ) -> None:
        self._history = history
        self._folder = folder
        self._wanted = wanted
        self._archive = archive
        self._types: dict[str, int] = {}
        self._proofs = 0
        self._total = 0

    async def run(self) -> Manifest:
        """The manifest is written last: without one an export is none.

        Raises ConflictError where the folder holds something, TooLargeError, ValidationError,
        ConfigurationError, HoleError, UnavailableError, EvidenceError.
        """
        if self._wanted.proofs and self._archive is None:
            raise ValidationError(
                "proofs are made of the archive, and TRITON_ARCHIVE_URL is empty: set it, or export "
                "without proofs"
            )
        await asyncio.to_thread(_make, self._folder, proofs=self._wanted.proofs)
        archive = await asyncio.to_thread(self._archive) if self._archive else None
        ring = keyring.Keyring()
        if archive is not None:
            ring = await asyncio.to_thread(keyring.read, archive, self._history.namespace)
        file = await asyncio.to_thread(writer, self._wanted.format, self._folder)
        try:
            covered = [
                await self._partition(partition, file, archive, ring)
                for partition in range(self._history.partitions)
            ]
        finally:
            await asyncio.to_thread(file.close)
        return await asyncio.to_thread(self._finish, covered, ring)

    async def _partition(
        self, partition: int, file: Writer, archive: ArchiveStore | None, ring: keyring.Keyring
    ) -> Covered:
        history, wanted = self._history, self._wanted
        first = max(1, await history.first_position(partition))
        if wanted.after is not None:
            first = max(first, wanted.after.positions[partition] + 1)
        last = wanted.upto.positions[partition]
        epoch, source = history.epochs[partition], f"/triton/{history.namespace}"
        prover = None
        if wanted.proofs and archive is not None:
            prover = Prover(history, archive, partition, ring.keys)
        events = 0
        if first <= last:
            async for page in history.pages(partition, first, last, wanted.chosen):
                self._total += page.size
                if wanted.most is not None and self._total > wanted.most:
                    raise TooLargeError(
                        f"more than {wanted.most} events fit: ask for fewer, or run `triton audit export`",
                        max_events=wanted.most,
                    )
                rows = [row_of(page.entry(index), epoch, source) for index in range(page.size)]
                await asyncio.to_thread(file.write, rows)
                events += len(rows)
                self._count(rows)
                if prover is not None:
                    for row in rows:
                        await self._prove(prover, row)
        head = None
        if archive is not None:
            head = await asyncio.to_thread(_head, archive, history.tree(partition))
        return Covered(
            partition=partition,
            epoch=epoch,
            first=first,
            last=last,
            events=events,
            head=head,
            expired=await history.expired(partition),
        )

    async def _prove(self, prover: Prover, row: Row) -> None:
        proof = await prover.prove(row.position)
        path = self._folder / PROOFS / f"{row.partition}-{row.position}.tlog-proof"
        await asyncio.to_thread(path.write_bytes, bytes(proof))
        self._proofs += 1

    def _count(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._types[row.type] = self._types.get(row.type, 0) + 1

    def _finish(self, covered: list[Covered], ring: keyring.Keyring) -> Manifest:
        wanted = self._wanted
        names = [NAMES[wanted.format]]
        if ring.keys:
            text = "".join(f"{key}\n" for key in ring.keys)
            (self._folder / KEYS).write_text(text, encoding="utf-8")
            names.append(KEYS)
        proofs = self._folder / PROOFS
        if wanted.proofs:
            names += sorted(f"{PROOFS}/{path.name}" for path in proofs.iterdir())
        manifest = Manifest(
            triton=triton.__version__,
            made_at=rfc3339(wanted.now) or "",
            made_by=wanted.by,
            reason=wanted.reason,
            namespace=self._history.namespace,
            format=wanted.format,
            columns=COLUMNS,
            asked=wanted.asked,
            partitions=covered,
            events=sum(one.events for one in covered),
            types=dict(sorted(self._types.items())),
            proofs=self._proofs,
            files=[_file(self._folder, name) for name in names],
        )
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
        (self._folder / MANIFEST).write_bytes(raw)
        return manifest


def _make(folder: Path, *, proofs: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConflictError(f"{folder} is not empty: an export needs a folder of its own")
    if proofs:
        (folder / PROOFS).mkdir()


def _head(archive: ArchiveStore, tree: layout.Tree) -> str | None:
    try:
        return archive.read(layout.checkpoint(tree)).decode()
    except NotFoundError:
        return None


def _file(folder: Path, name: str) -> File:
    digest, size = hashlib.sha256(), 0
    with (folder / name).open("rb") as read:
        while data := read.read(_READ):
            digest.update(data)
            size += len(data)
    return File(name=name, size=size, sha256=digest.hexdigest())
