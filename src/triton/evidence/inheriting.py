"""Owns what an adopted log takes over of segments that expired in an earlier life: all but their bytes.

The new life has a tree of its own over all positions. Where the records are gone, their hashes are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from triton.archive import ArchiveStore
from triton.errors import EvidenceError
from triton.evidence import layout, manifest, tiled, tiles
from triton.evidence.layout import Tree
from triton.evidence.recovering import Found
from triton.evidence.rows import Segment
from triton.evidence.tree import Frontier


def inherit(
    archive: ArchiveStore, into: Tree, origin: str, expired: Sequence[Segment]
) -> list[Found]:
    """Put leaf hashes, tiles and manifests of the expired segments of an earlier life, from 1 on, into
    another tree of the same positions. May be repeated.

    Reads and writes the archive: call it in a thread. Raises EvidenceError, NotFoundError, UnavailableError.
    """
    frontier, previous = Frontier(), ""
    found: list[Found] = []
    for one in expired:
        leaves = tiled.kept_leaves(archive, one.key, one.first, one.first, one.last)
        key = layout.segment(into, one.first, one.last)
        frontier, made = tiles.grow(
            frontier, leaves, lambda tile: archive.read(layout.tile(into, tile))
        )
        if frontier.root() != one.stored_root:
            raise EvidenceError(
                f"the leaf hashes of {one.key} do not have the root that was recorded: bring "
                f"{layout.leaves_of(one.key)} back from another copy of the archive",
                key=one.key,
            )
        archive.put_new(layout.leaves_of(key), b"".join(leaves))
        for tile, raw in made:
            archive.put_new(layout.tile(into, tile), raw)
        said = msgspec.structs.replace(
            manifest.decode(archive.read(layout.manifest_of(one.key))),
            origin=origin,
            epoch=into.epoch,
            key=key,
            previous=previous,
        )
        raw = manifest.encode(said)
        archive.put_new(layout.manifest_of(key), raw)
        previous = manifest.digest(raw)
        found.append(Found(one.first, one.last, key, said, previous, signed=True, expired=True))
    return found
