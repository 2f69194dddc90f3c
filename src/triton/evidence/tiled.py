"""Owns what the archive knows of a tree: hashes out of its tiles and, below them, out of its segments."""

from __future__ import annotations

from collections.abc import Sequence

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, NotFoundError
from triton.evidence import layout, manifest, segment, tree
from triton.evidence.layout import Tree
from triton.evidence.rows import Segment
from triton.evidence.tiles import HashReader


def hash_reader(archive: ArchiveStore, of: Tree, segments: Sequence[Segment]) -> HashReader:
    """Hashes of the tree up to its last sealed segment. `segments`: those that are sealed, in order.

    Its methods read the archive: call them in a thread. They raise EvidenceError, UnavailableError,
    NotFoundError.
    """
    size = segments[-1].last if segments else 0

    def read_leaves(first: int, after: int) -> list[bytes]:
        hashes: list[bytes] = []
        for found in segments:
            if found.last <= first or found.first > after:
                continue
            begin, end = max(first + 1, found.first), min(after, found.last)
            if found.expired:
                hashes += kept_leaves(archive, found.key, found.first, begin, end)
            else:
                hashes += tree.leaf_hashes(_records(archive, found, begin, end))
        return hashes

    return HashReader(size, size, lambda tile: archive.read(layout.tile(of, tile)), read_leaves)


def frontier(archive: ArchiveStore, of: Tree, segments: Sequence[Segment]) -> tree.Frontier:
    """The frontier after the last sealed segment, read from the archive, with the root that it was
    recorded with. Raises EvidenceError, UnavailableError, NotFoundError."""
    if not segments:
        return tree.Frontier()
    try:
        found = hash_reader(archive, of, segments).frontier()
    except NotFoundError:  # its last events' segment has expired
        found = _described(archive, segments[-1])
    if found.root() != segments[-1].stored_root:
        raise EvidenceError(
            f"the tiles of {of.prefix} give the tree of {found.size} events the root {found.root().hex()}, "
            f"PostgreSQL has {segments[-1].stored_root.hex()}: one of both was changed; run "
            "`triton audit verify`",
            position=found.size,
        )
    return found


def kept_leaves(
    archive: ArchiveStore, segment_key: str, start: int, first: int, last: int
) -> list[bytes]:
    """The leaf hashes of positions of a segment that begins at `start`, as they stay when it expires."""
    offset, size = (first - start) * tree.HASH_BYTES, (last - first + 1) * tree.HASH_BYTES
    key = layout.leaves_of(segment_key)
    raw = archive.read_range(key, offset, size)
    if len(raw) != size:
        raise EvidenceError(
            f"{key} ends before position {last}: bring it back from another copy of the archive",
            key=key,
        )
    return [raw[at : at + tree.HASH_BYTES] for at in range(0, size, tree.HASH_BYTES)]


def _described(archive: ArchiveStore, last: Segment) -> tree.Frontier:
    """The frontier as the last segment's manifest has it."""
    said = manifest.decode(archive.read(layout.manifest_of(last.key)))
    try:
        return tree.Frontier(last.last, tuple(bytes.fromhex(peak) for peak in said.peaks))
    except ValueError as error:
        raise EvidenceError(
            f"the manifest of {last.key} has peaks that are no hashes: "
            "bring it back from another copy of the archive"
        ) from error


def _records(archive: ArchiveStore, found: Segment, first: int, last: int) -> list[bytes]:
    """The records of positions that are in a segment."""

    def read(offset: int, size: int) -> bytes:
        return archive.read_range(found.key, offset, size)

    footer = segment.read_footer(read, archive.size(found.key))
    records: list[bytes] = []
    for index in range(footer.block_at(first), footer.block_at(last) + 1):
        block = footer.blocks[index]
        begin = max(0, first - block.first_position)
        records += segment.read_block(read, block)[begin : last - block.first_position + 1]
    return records
