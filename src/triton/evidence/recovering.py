"""Owns making the rows of `segments` and `tree_heads` again from the archive, where PostgreSQL lost them.

Without them an archiver would begin anew, with other ranges, beside the segments that are there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from triton.archive import ArchiveStore
from triton.errors import EvidenceError, NotFoundError
from triton.evidence import layout, manifest, notes
from triton.evidence.layout import Tree
from triton.evidence.manifest import Manifest
from triton.evidence.rows import Segment
from triton.evidence.statements import sql


class Found(msgspec.Struct, frozen=True):
    """A segment that is in the archive. Without a manifest its sealing was not ended."""

    first: int
    last: int
    key: str
    manifest: Manifest | None = None
    manifest_sha256: str | None = None
    #: Whether a signed head covers it.
    signed: bool = False
    #: Its bytes are gone, and its leaf hashes stay.
    expired: bool = False

    @property
    def state(self) -> str:
        return "sealing" if self.manifest is None else "sealed" if self.signed else "stored"


class Head(msgspec.Struct, frozen=True):
    """A signed head of the archive, and the object of heads that it is in; None for the one that is only
    published. Time in microseconds since 1970; None where nothing tells it."""

    note: bytes
    size: int
    root: bytes
    at: int | None
    key: str | None


def segments_unknown(archive: ArchiveStore, tree: Tree, known: Sequence[Segment]) -> list[Found]:
    """The tree's segments that the archive has and that are not among those that are known to be sealed, in
    order: behind them, or between two of them.

    Reads the archive: call it in a thread. Raises EvidenceError where one is missing or does not follow.
    """
    signed = _signed(archive, tree)
    keys = set(archive.list(layout.segments(tree)))
    # One that expired has no bytes, but all the rest.
    expired = {
        f"{key.removesuffix('.leaves')}.zst" for key in keys if key.endswith(".leaves")
    } - keys
    rows = {(one.first, one.last): one for one in known if one.sealed}
    spans = {span: key for key in keys | expired if (span := layout.range_of(key)) is not None}
    found: list[Found] = []
    end, previous = 0, ""
    for first, last in sorted(rows.keys() | spans.keys()):
        if row := rows.get((first, last)):
            end, previous = last, row.manifest_sha256 or ""
            continue
        if first <= end:
            continue
        key = spans[first, last]
        if first != end + 1 or (found and found[-1].manifest is None):
            raise EvidenceError(
                f"{key} is the next segment of the archive, but position {end + 1} must follow: a segment "
                "or a manifest is missing; bring it back from another copy of the archive",
                key=key,
            )
        one = _described(archive, key, first, last, previous, signed)
        found.append(msgspec.structs.replace(one, expired=key in expired))
        end, previous = last, one.manifest_sha256 or ""
    return found


def newest_heads(archive: ArchiveStore, tree: Tree) -> list[Head]:
    """The heads of the newest object of heads, oldest first, and the published one."""
    newest = ""
    for key in archive.list(layout.heads_prefix(tree)):
        newest = key if layout.head_of(key) else newest
    where = layout.head_of(newest) if newest else None
    heads = []
    if where is not None:
        raw = _notes(archive.read(newest))
        heads = [
            _head(note, where[1] - len(raw) + 1 + index, newest) for index, note in enumerate(raw)
        ]
    with contextlib.suppress(NotFoundError):
        published = archive.read(layout.checkpoint(tree))
        if published not in [head.note for head in heads]:
            heads.append(_head(published, None, None))
    return heads


async def write_recovered(
    connection: psycopg.AsyncConnection[Any],
    tree: Tree,
    found: Sequence[Found],
    heads: Sequence[Head],
) -> None:
    """Make the rows of segments and heads that are in the archive and not in PostgreSQL, in the caller's
    transaction. Raises EvidenceError where another range was begun there."""
    place = {"partition": tree.partition, "epoch": tree.epoch}
    for one in found:
        said = one.manifest
        values: dict[str, object] = {
            "first": one.first,
            "last": one.last,
            "state": one.state,
            "key": one.key,
            "sha256": said.sha256 if said else None,
            "size": said.size if said else None,
            "manifest_sha256": one.manifest_sha256,
            "first_at": said.first_at if said else None,
            "last_at": said.last_at if said else None,
            "root": bytes.fromhex(said.root) if said else None,
            "expired": one.expired,
        }
        cursor = await connection.execute(sql("segment_recovered"), {**place, **values})
        if cursor.rowcount != 1:
            raise EvidenceError(
                f"{one.key} is in the archive, but PostgreSQL has another range that begins at {one.first}: "
                "one of both was changed by somebody else; run `triton audit verify`",
                key=one.key,
            )
    for head in heads:
        await connection.execute(sql("head_recovered"), {**place, **msgspec.structs.asdict(head)})


def _head(note: bytes, at: int | None, key: str | None) -> Head:
    said = notes.parse_head(notes.parse_note(note).text)
    return Head(note, said.size, said.root, at, key)


def _notes(joined: bytes) -> list[bytes]:
    """A note has one empty line inside, and one behind it where another follows."""
    texts = joined.decode().split("\n\n")
    return [f"{text}\n\n{signed.rstrip(chr(10))}\n".encode() for text, signed in _pairs(texts)]


def _pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(texts[::2], texts[1::2], strict=True))


def _signed(archive: ArchiveStore, tree: Tree) -> int:
    """How many events the newest head covers."""
    with contextlib.suppress(NotFoundError):
        raw = archive.read(layout.checkpoint(tree))
        return notes.parse_head(notes.parse_note(raw).text).size
    return 0


def _described(
    archive: ArchiveStore, key: str, first: int, last: int, previous: str, signed: int
) -> Found:
    try:
        raw = archive.read(layout.manifest_of(key))
    except NotFoundError:
        return Found(first, last, key)
    said = manifest.decode(raw)
    if (said.first_position, said.last_position, said.key) != (first, last, key):
        raise EvidenceError(
            f"{layout.manifest_of(key)} describes another segment: "
            "bring it back from another copy of the archive",
            key=key,
        )
    if previous and said.previous != previous:
        raise EvidenceError(
            f"{layout.manifest_of(key)} follows a manifest with the SHA-256 {said.previous}, but the one "
            f"before it has {previous}: one of both was changed; run `triton audit verify`",
            key=key,
        )
    return Found(first, last, key, said, manifest.digest(raw), signed >= last)
