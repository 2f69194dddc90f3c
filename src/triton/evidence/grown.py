"""Owns the part of a tree that is not sealed yet: leaf hashes behind the frontier of what is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from triton.evidence import tree
from triton.evidence.tree import HASH_BYTES, Frontier


class Grown:
    """A tree that grows: its frontier, and what proofs between its recent sizes are made of."""

    def __init__(self, sealed: Frontier) -> None:
        self.frontier = sealed
        self._sealed = sealed
        self._leaves = bytearray()

    @property
    def size(self) -> int:
        return self.frontier.size

    def add(self, hashes: Sequence[bytes]) -> None:
        """Leaf hashes of what follows."""
        self.frontier = self.frontier.extend(hashes)
        self._leaves += b"".join(hashes)

    def leaves(self, first: int, after: int) -> list[bytes]:
        """Leaf hashes from one that is not sealed up to before another."""
        begin, end = (HASH_BYTES * (at - self._sealed.size) for at in (first, after))
        raw = bytes(self._leaves[begin:end])
        return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]

    def frontier_at(self, size: int) -> Frontier:
        """The frontier as it was at a size that is not sealed."""
        return self._sealed.extend(self.leaves(self._sealed.size, size))

    def seal(self, size: int) -> None:
        """What is up to this size is sealed: its leaves are forgotten."""
        sealed = self.frontier_at(size)
        del self._leaves[: HASH_BYTES * (size - self._sealed.size)]
        self._sealed = sealed


def consistency(old: Frontier, leaves: Sequence[bytes]) -> list[bytes]:
    """The proof that the tree of these leaves behind an older one begins with that one.

    All of the proof's hashes that lie in the old tree are peaks of it.
    """
    new = old.size + len(leaves)
    peaks = dict(zip(_ranges(old.size), old.peaks, strict=True))
    return [
        peaks[first, after]
        if after <= old.size
        else tree.root_of(leaves[first - old.size : after - old.size])
        for first, after in tree.consistency_ranges(old.size, new)
    ]


def _ranges(size: int) -> list[tuple[int, int]]:
    return [(index << level, index + 1 << level) for level, index in tree.perfect_subtrees(0, size)]
