"""Owns which lives of a partition's log the archive knows, and which one went on from which: for when
PostgreSQL, whose table `log_epochs` says it, was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from triton.archive import ArchiveStore
from triton.errors import NotFoundError
from triton.evidence import layout, lives, notes
from triton.evidence.layout import Tree
from triton.evidence.statements import sql


class Life(NamedTuple):
    """One life; `before` is the epoch that it went on from, with which it shares positions up to `common`.
    Empty and 0 for one that began anew."""

    tree: Tree
    before: str = ""
    common: int = 0


def lives_in(archive: ArchiveStore, namespace: str, partition: int) -> list[Life]:
    """The lives of which anything is sealed or signed. Reads the archive: call it in a thread."""
    keys = list(archive.list(layout.namespace_prefix(namespace, partition)))
    there = set(keys)
    sealed = {layout.tree_of(key) for key in keys if layout.range_of(key)}
    found = []
    for tree in sorted({tree for key in keys if (tree := layout.tree_of(key)) is not None}):
        if tree not in sealed and not _signed(archive, tree):
            continue
        key = lives.key_of(tree)
        found.append(Life(tree, *(lives.parse(archive.read(key)) if key in there else ())))
    return found


def last_of(found: Sequence[Life]) -> Life | None:
    """The one that no other goes on from; None where there is none, or several."""
    before = {life.before for life in found}
    ends = [life for life in found if life.tree.epoch not in before]
    return ends[0] if len(ends) == 1 else None


def ancestry(found: Sequence[Life], epoch: str) -> list[Life]:
    """A life and those that it went on from, the oldest first; without the first of all, which has no
    other before it."""
    known = {life.tree.epoch: life for life in found}
    chain: list[Life] = []
    while (life := known.pop(epoch, None)) is not None and life.before:
        chain.append(life)
        epoch = life.before
    return chain[::-1]


async def write_lives(connection: psycopg.AsyncConnection[Any], chain: Sequence[Life]) -> None:
    """Make the rows of these lives that PostgreSQL has not, in the caller's transaction."""
    for life in chain:
        values = {
            "partition": life.tree.partition,
            "epoch": life.tree.epoch,
            "previous": life.before,
            "common": life.common,
        }
        await connection.execute(sql("life_recovered"), values)


def _signed(archive: ArchiveStore, tree: Tree) -> bool:
    """Whether a head of any event is signed: one of none is there as soon as an archiver runs."""
    with contextlib.suppress(NotFoundError):
        raw = archive.read(layout.checkpoint(tree))
        return notes.parse_head(notes.parse_note(raw).text).size > 0
    return False
