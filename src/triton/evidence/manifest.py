"""Owns the manifest of a segment: what it holds, the tree after it, the manifest before it. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from triton.errors import EvidenceError


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Positions and times (microseconds since 1970) are of the first and the last event, both included."""

    #: Of the tree, as its heads have it.
    origin: str
    partition: int
    epoch: str
    first_position: int
    last_position: int
    events: int
    #: Event type -> how many there are.
    types: dict[str, int]
    first_at: int
    last_at: int
    #: The segment's key, bytes, and SHA-256 in hex.
    key: str
    size: int
    sha256: str
    #: Root of the tree of the events 1 to last_position, in hex.
    root: str
    #: SHA-256 in hex of the manifest before; empty in the first.
    previous: str
    #: Roots of the perfect subtrees that this tree is made of, largest first, in hex: with them a tree goes
    #: on although the events before are missing.
    peaks: tuple[str, ...] = ()
    format: int = 1


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes: the same for equal manifests."""
    raw = msgspec.json.encode(manifest, order="deterministic")
    return msgspec.json.format(raw, indent=1) + b"\n"


def decode(raw: bytes) -> Manifest:
    """Raises EvidenceError."""
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError as error:
        raise EvidenceError(
            f"this is no manifest of a segment ({error}): bring it back from another copy of the archive"
        ) from error


def digest(raw: bytes) -> str:
    """The SHA-256 in hex of a manifest's bytes, as the next one has it."""
    return hashlib.sha256(raw).hexdigest()
