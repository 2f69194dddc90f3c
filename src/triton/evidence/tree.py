"""Owns the Merkle tree of RFC 6962: hashes, a frontier that grows, proofs and their verification. Pure.

Leaves are counted from 0: the event at position n is leaf n - 1. A range is first leaf and the leaf after
its last, as in Python. Verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, and takes each hash of
a proof into both roots, so that no part of a proof goes unchecked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from hmac import compare_digest
from typing import Final

import msgspec

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

_sha256 = hashlib.sha256


def leaf_hash(record: bytes) -> bytes:
    return _sha256(b"\x00" + record).digest()


def leaf_hashes(records: Iterable[bytes]) -> list[bytes]:
    sha256 = _sha256
    return [sha256(b"\x00" + record).digest() for record in records]


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\x01" + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """All that is needed of a tree to go on: its size and its perfect subtrees' roots, largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        return fold(self.peaks)

    def extend(self, hashes: Sequence[bytes]) -> Frontier:
        """The frontier after these leaf hashes."""
        return grow(self, hashes)[0]


def grow(frontier: Frontier, hashes: Sequence[bytes]) -> tuple[Frontier, list[list[bytes]]]:
    """The frontier after these leaf hashes, and the nodes that became complete, level by level.

    The first new node of level h has the index `frontier.size >> h`.
    """
    size = frontier.size + len(hashes)
    held = list(frontier.peaks)
    peaks: list[bytes] = []  # of the new tree, smallest first
    levels: list[list[bytes]] = []
    new = list(hashes)
    level = 0
    sha256 = _sha256
    while new or frontier.size >> level:
        levels.append(new)
        nodes = [held.pop(), *new] if frontier.size >> level & 1 else new
        if len(nodes) % 2:
            peaks.append(nodes[-1])
        pairs = zip(nodes[0::2], nodes[1::2], strict=False)
        new = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level += 1
    return Frontier(size, tuple(reversed(peaks))), levels


def fold(peaks: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, largest first; of none, the root of the empty tree."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes."""
    return Frontier().extend(hashes).root()


def perfect_subtrees(first: int, after: int) -> list[tuple[int, int]]:
    """(level, index) of the perfect subtrees that make up a range, from left to right."""
    found = []
    while first < after:
        room = (after - first).bit_length() - 1
        level = min(room, (first & -first).bit_length() - 1) if first else room
        found.append((level, first >> level))
        first += 1 << level
    return found


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The ranges whose hashes are the inclusion proof of a leaf, the leaf's sibling first.

    Raises ValueError for a leaf that the tree does not have.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    path: list[tuple[int, int]] = []
    first, after = 0, size
    while after - first > 1:
        middle = first + _split(after - first)
        if index < middle:
            path.append((middle, after))
            after = middle
        else:
            path.append((first, middle))
            first = middle
    return path[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The ranges whose hashes are the consistency proof between two sizes.

    Raises ValueError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves is not a later one of a tree of {old}")
    if old in (0, new):
        return []
    path: list[tuple[int, int]] = []
    first, after, whole = 0, new, True
    while old != after:
        middle = first + _split(after - first)
        if old <= middle:
            path.append((middle, after))
            after = middle
        else:
            path.append((first, middle))
            first, whole = middle, False
    if not whole:
        path.append((first, after))
    return path[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows that `leaf` (a leaf hash) is at `index` of the tree with this size and root."""
    if not 0 <= index < size or not _are_hashes([leaf, root, *proof]):
        return False
    sides = _sides(index, size - 1, len(proof))
    if sides is None:
        return False
    for value, left in zip(proof, sides, strict=True):
        leaf = node_hash(value, leaf) if left else node_hash(leaf, value)
    return compare_digest(leaf, root)


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    """Whether the proof shows that the tree of size `new` begins with all of the tree of size `old`."""
    if not 0 <= old <= new or not _are_hashes([old_root, new_root, *proof]):
        return False
    if old == new:
        return not proof and compare_digest(old_root, new_root)
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    sides = _sides(fn, sn, len(path) - 1)
    if sides is None:
        return False
    was = now = path[0]
    for value, left in zip(path[1:], sides, strict=True):
        if left:
            was = node_hash(value, was)
        now = node_hash(value, now) if left else node_hash(now, value)
    return compare_digest(was, old_root) and compare_digest(now, new_root)


def _sides(fn: int, sn: int, count: int) -> list[bool] | None:
    """Whether each of a proof's hashes stands left, from the leaf up; None when their count does not fit."""
    sides: list[bool] = []
    while sn and len(sides) < count:
        left = bool(fn & 1) or fn == sn
        sides.append(left)
        while left and fn and not fn & 1:
            fn >>= 1
            sn >>= 1
        fn >>= 1
        sn >>= 1
    return sides if sn == 0 and len(sides) == count else None


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
