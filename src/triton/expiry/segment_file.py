"""Owns reading a segment once more before it goes: what it holds, and the hashes that stay of it."""

from __future__ import annotations

from typing import NamedTuple

from triton.archive import ArchiveStore
from triton.audit.outliving import Contents
from triton.errors import EvidenceError
from triton.evidence import layout, manifest, segment, tree
from triton.evidence.rows import Segment
from triton.evidence.source import check_hash, page_of_records
from triton.evidence.tree import Frontier


class Read(NamedTuple):
    """What a segment's file holds."""

    contents: Contents
    leaves: list[bytes]


def read(archive: ArchiveStore, partition: int, of: Segment, before: Segment | None) -> Read:
    """Read a segment; `before` is the one before it in its tree. Call it in a thread.

    Raises EvidenceError where it is not what was sealed, NotFoundError, UnavailableError.
    """
    data = archive.read(of.key)
    check_hash(of.key, data, of.sha256)
    records = list(segment.read_all(data))
    contents = Contents()
    contents.take(page_of_records(partition, records))
    leaves = tree.leaf_hashes(records)
    check_leaves(archive, of, before, leaves)
    return Read(contents, leaves)


def check_leaves(
    archive: ArchiveStore, of: Segment, before: Segment | None, leaves: list[bytes]
) -> None:
    """The hashes must lead from the tree before the segment to the root that is signed for its end."""
    frontier = Frontier()
    if before is not None:
        said = manifest.decode(archive.read(layout.manifest_of(before.key)))
        frontier = Frontier(before.last, tuple(bytes.fromhex(peak) for peak in said.peaks))
    if len(leaves) != of.last - of.first + 1 or frontier.extend(leaves).root() != of.stored_root:
        raise EvidenceError(
            f"The hashes of {of.key} do not lead to the root that was signed for position {of.last}: nothing "
            "of it was removed. Run `triton audit verify`.",
            key=of.key,
        )


def keep_leaves(archive: ArchiveStore, of: Segment, leaves: list[bytes]) -> str:
    """Put the hashes that stay, and read them back. Answers their SHA-256 in hex."""
    key, raw = layout.leaves_of(of.key), b"".join(leaves)
    archive.put_new(key, raw)
    check_hash(key, archive.read(key), segment.sha256_of(raw))
    return segment.sha256_of(raw)


def remove(archive: ArchiveStore, of: Segment, before: Segment | None) -> None:
    """Delete a segment's bytes, of which all that must stay is there. May be repeated."""
    raw = archive.read(layout.leaves_of(of.key))
    leaves = [raw[at : at + tree.HASH_BYTES] for at in range(0, len(raw), tree.HASH_BYTES)]
    check_leaves(archive, of, before, leaves)
    key = layout.manifest_of(of.key)
    check_hash(key, archive.read(key), of.manifest_sha256)
    archive.delete(of.key)
