"""Owns the archive's keys of the log: where a tree's segments, manifests, tiles and heads lie. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from triton.evidence.tiles import Tile

#: Below it is everything that belongs to the log.
LOG: Final = "log/"

_SEGMENT = re.compile(r"(?P<tree>log/.+/)segments/(?P<first>\d{20})-(?P<last>\d{20})\.zst")
_TREE = re.compile(r"log/(?P<namespace>[^/]+)/p(?P<partition>\d+)/(?P<epoch>[^/]+)/")
_HEADS = re.compile(r"log/.+/heads/(?P<size>\d{20})-(?P<at>\d{20})")


class Tree(NamedTuple):
    """One partition's log in one of its lives."""

    namespace: str
    partition: int
    epoch: str

    @property
    def prefix(self) -> str:
        """What every key of the tree begins with."""
        return f"{LOG}{self.namespace}/p{self.partition}/{self.epoch}/"

    def origin(self, name: str) -> str:
        """The line that names the tree in its heads; `name` is TRITON_ORIGIN."""
        return f"{name}/{self.namespace}/{self.partition}/{self.epoch}"


def segments(tree: Tree) -> str:
    """The prefix of all segments and manifests of a tree; their keys are in the order of positions."""
    return f"{tree.prefix}segments/"


def segment(tree: Tree, first: int, last: int) -> str:
    return f"{segments(tree)}{first:020d}-{last:020d}.zst"


def manifest(tree: Tree, first: int, last: int) -> str:
    return f"{segments(tree)}{first:020d}-{last:020d}.json"


def manifest_of(segment_key: str) -> str:
    """The key of a segment's manifest."""
    return segment_key.removesuffix(".zst") + ".json"


def leaves_of(segment_key: str) -> str:
    """The key of a segment's leaf hashes, which are there once it expires."""
    return segment_key.removesuffix(".zst") + ".leaves"


def tile(tree: Tree, at: Tile) -> str:
    return tree.prefix + at.path


def heads_prefix(tree: Tree) -> str:
    """The prefix of all objects of signed heads of a tree; their keys are in the order of sizes."""
    return f"{tree.prefix}heads/"


def heads(tree: Tree, size: int, at: int) -> str:
    """Where signed heads lie, of which the newest has this size and was signed at this time
    (microseconds since 1970)."""
    return f"{heads_prefix(tree)}{size:020d}-{at:020d}"


def checkpoint(tree: Tree) -> str:
    return f"{tree.prefix}checkpoint"


def range_of(key: str) -> tuple[int, int] | None:
    """The first and the last position of a segment's key; None for another key."""
    match = _SEGMENT.fullmatch(key)
    return (int(match["first"]), int(match["last"])) if match else None


def head_of(key: str) -> tuple[int, int] | None:
    """Size and time of the newest head in an object of heads, by its key; None for another key."""
    match = _HEADS.fullmatch(key)
    return (int(match["size"]), int(match["at"])) if match else None


def tree_of(key: str) -> Tree | None:
    """The tree that a key belongs to; None for a key that belongs to none."""
    match = _TREE.match(key)
    return Tree(match["namespace"], int(match["partition"]), match["epoch"]) if match else None


def namespace_prefix(namespace: str, partition: int | None = None) -> str:
    """The prefix of all trees of a namespace, or of one partition's."""
    return f"{LOG}{namespace}/" + ("" if partition is None else f"p{partition}/")
