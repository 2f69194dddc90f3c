"""Owns running archivers in tests, and reading what they left as a stranger would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from projecting import acquired, opened

from triton.archive import ArchiveStore, open_archive
from triton.events.log import Log
from triton.evidence import layout, manifest, notes, segment, tree
from triton.evidence.archiver import Archiver
from triton.evidence.layout import Tree
from triton.evidence.ledger import ARCHIVER
from triton.evidence.notes import Signer, TreeHead
from triton.evidence.signing import generated_signer
from triton.postgres import Connection
from triton.settings import Settings

#: Small, so that a run has several segments; nothing is kept in Redis for its own sake.
SMALL = {"seal_events": 5, "seal_ms": 0, "keep_events": 0, "keep_ms": 0, "head_ms": 0}


def signer_of(settings: Settings) -> Signer:
    return generated_signer(settings.origin, Path(settings.data) / "key.pem")


def with_archive(settings: Settings, folder: Path, **changes: object) -> Settings:
    url = (folder / "archive").as_uri()
    values = {**SMALL, "archive_url": url, "data": str(folder), **changes}
    return msgspec.structs.replace(settings, **values)


async def archiver_on(
    log: Log,
    connection: Connection,
    settings: Settings,
    *,
    archive: ArchiveStore | None = None,
    projectors: tuple[str, ...] = (),
) -> Archiver:
    """An archiver that holds the lease, and began."""
    lease = await acquired(log, connection, ARCHIVER)
    made = Archiver(
        log,
        archive or open_archive(settings.archive_url),
        lease,
        signer_of(settings),
        settings,
        projectors=projectors,
    )
    await made.start()
    return made


@asynccontextmanager
async def archiving(
    settings: Settings,
    *,
    archive: ArchiveStore | None = None,
    projectors: tuple[str, ...] = (),
) -> AsyncIterator[Archiver]:
    async with opened(settings) as (log, connection):
        made = await archiver_on(log, connection, settings, archive=archive, projectors=projectors)
        try:
            yield made
        finally:
            await made.follower.published()


async def archive_once(settings: Settings, *, projectors: tuple[str, ...] = ()) -> None:
    async with archiving(settings, projectors=projectors) as made:
        await made.turn()


def trees_in(archive: ArchiveStore) -> list[Tree]:
    found = {layout.tree_of(key) for key in archive.list(layout.LOG)}
    return sorted(tree for tree in found if tree is not None)


def records_in(archive: ArchiveStore, of: Tree) -> list[bytes]:
    """Every record of a tree's segments, with its hashes, manifests and chain checked."""
    records: list[bytes] = []
    grown = tree.Frontier()
    previous = ""
    for key in archive.list(layout.segments(of)):
        bounds = layout.range_of(key)
        if bounds is None:
            continue
        data, raw = archive.read(key), archive.read(layout.manifest_of(key))
        said = manifest.decode(raw)
        more = list(segment.read_all(data))
        records += more
        grown = grown.extend(tree.leaf_hashes(more))
        assert (said.first_position, said.last_position) == bounds
        assert bounds[1] == len(records)
        assert (said.sha256, said.size) == (segment.sha256_of(data), len(data))
        assert said.previous == previous
        assert said.root == grown.root().hex()
        previous = manifest.digest(raw)
    return records


def head_in(archive: ArchiveStore, of: Tree, settings: Settings) -> TreeHead:
    """The published head, with its signature checked."""
    raw = archive.read(layout.checkpoint(of))
    return notes.open_head(raw, [signer_of(settings).key], of.origin(settings.origin))
