"""Owns the tree as C2SP tiles: their paths, those that a growth makes, and hashes read out of them. Pure.

Tiles of level 0 (the leaf hashes) are not stored: whoever reads gives a callback for them. See
https://c2sp.org/tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from triton.errors import EvidenceError
from triton.evidence import tree
from triton.evidence.tree import HASH_BYTES, Frontier

#: Levels of the tree in one tile.
HEIGHT: Final = 8
#: Hashes in a full tile.
WIDTH: Final = 1 << HEIGHT


class Tile(msgspec.Struct, frozen=True):
    """Where a tile is in the tree. A full one has the width 256; narrower ones are partial."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """`tile/L/N`, and `tile/L/N.p/W` of a partial tile."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{self.level}/{number}{partial}"


ReadTile = Callable[[Tile], bytes]
#: Leaf hashes of a range: first leaf, and the leaf after the last.
ReadLeaves = Callable[[int, int], Sequence[bytes]]


def tile_at(level: int, index: int, size: int) -> Tile:
    """The tile as a tree of `size` leaves has it. Raises ValueError where that tree has none."""
    width = min(WIDTH, (size >> HEIGHT * level) - index * WIDTH)
    if width < 1:
        raise ValueError(f"a tree of {size} leaves has no tile {index} of level {level}")
    return Tile(level, index, width)


def tiles_of_growth(old: int, new: int) -> list[Tile]:
    """The tiles of level 1 and above that a tree of `new` leaves has and one of `old` leaves has not."""
    made = []
    level = 1
    while new >> HEIGHT * level:
        before, after = old >> HEIGHT * level, new >> HEIGHT * level
        if after > before:
            last = (after - 1) // WIDTH
            made += [tile_at(level, index, new) for index in range(before // WIDTH, last + 1)]
        level += 1
    return made


def grow(
    frontier: Frontier, hashes: Sequence[bytes], read_tile: ReadTile
) -> tuple[Frontier, list[tuple[Tile, bytes]]]:
    """The frontier after these leaf hashes, and the tiles of level 1 and above that came to be.

    `read_tile` is asked for the tiles of the tree before that were partial, once for each level at most.
    """
    after, levels = tree.grow(frontier, hashes)
    made = []
    for tile in tiles_of_growth(frontier.size, after.size):
        height = HEIGHT * tile.level
        before = frontier.size >> height
        first = tile.index * WIDTH
        held = b""
        if before > first:
            held = _checked(tile_at(tile.level, tile.index, frontier.size), read_tile)
        start = first + len(held) // HASH_BYTES - before
        new = levels[height][start : first + tile.width - before]
        made.append((tile, held + b"".join(new)))
    return after, made


class HashReader:
    """Hashes of any part of a tree of `size` leaves, whose tiles are there up to the size `tiled`.

    Tiles and leaves are read once each, leaves 256 at a time.
    """

    def __init__(self, size: int, tiled: int, read_tile: ReadTile, read_leaves: ReadLeaves) -> None:
        self.size = size
        self._tiled = min(tiled, size)
        self._read_tile = read_tile
        self._read_leaves = read_leaves
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._leaves: dict[int, Sequence[bytes]] = {}

    def subtree(self, first: int, after: int) -> bytes:
        """The hash over a range of leaves, as a proof has it."""
        if not 0 <= first <= after <= self.size:
            raise ValueError(f"leaves {first} to {after} are not in a tree of {self.size} leaves")
        return tree.fold([self._node(*at) for at in tree.perfect_subtrees(first, after)])

    def root(self, size: int | None = None) -> bytes:
        """The root that the tree had at `size` leaves; without it, the one it has."""
        return self.subtree(0, self.size if size is None else size)

    def frontier(self, size: int | None = None) -> Frontier:
        size = self.size if size is None else size
        peaks = [self._node(*at) for at in tree.perfect_subtrees(0, size)]
        return Frontier(size, tuple(peaks))

    def leaf(self, index: int) -> bytes:
        return self._node(0, index)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that leaf `index` is in the tree as it was at `size` leaves."""
        ranges = tree.inclusion_ranges(index, self.size if size is None else size)
        return [self.subtree(first, after) for first, after in ranges]

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the tree at `new` leaves begins with the tree at `old` leaves."""
        ranges = tree.consistency_ranges(old, self.size if new is None else new)
        return [self.subtree(first, after) for first, after in ranges]

    def _node(self, level: int, index: int) -> bytes:
        after = index + 1 << level
        if level < HEIGHT:
            return tree.root_of(self._leaf_hashes(index << level, after))
        if after > self._tiled:
            return tree.node_hash(
                self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1)
            )
        tiled, rest = divmod(level, HEIGHT)
        number, offset = divmod(index << rest, WIDTH)
        raw = self._tile(tiled, number)
        starts = range(offset * HASH_BYTES, (offset + (1 << rest)) * HASH_BYTES, HASH_BYTES)
        return tree.root_of([raw[start : start + HASH_BYTES] for start in starts])

    def _tile(self, level: int, index: int) -> bytes:
        raw = self._tiles.get((level, index))
        if raw is None:
            raw = _checked(tile_at(level, index, self._tiled), self._read_tile)
            self._tiles[level, index] = raw
        return raw

    def _leaf_hashes(self, first: int, after: int) -> Sequence[bytes]:
        """A range within one tile of level 0."""
        number, offset = divmod(first, WIDTH)
        held = self._leaves.get(number)
        if held is None:
            start, end = number * WIDTH, min((number + 1) * WIDTH, self.size)
            held = self._read_leaves(start, end)
            if len(held) != end - start:
                raise EvidenceError(
                    f"{len(held)} leaf hashes came for positions {start + 1} to {end}, expected "
                    f"{end - start}: events of that range are missing from where they were read"
                )
            self._leaves[number] = held
        return held[offset : offset + after - first]


def _checked(tile: Tile, read_tile: ReadTile) -> bytes:
    raw = read_tile(tile)
    if len(raw) != tile.width * HASH_BYTES:
        raise EvidenceError(
            f"the tile {tile.path} has {len(raw)} bytes, expected {tile.width * HASH_BYTES}: it is "
            "damaged; read it from another copy of the archive, or make it again from the segments",
            tile=tile.path,
        )
    return raw
