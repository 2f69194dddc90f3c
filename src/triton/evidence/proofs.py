"""Owns the proof that one event is in the log: C2SP's tlog-proof text, and its verification. Pure.

The `extra` line holds the event's record, its exact stored bytes, so that the file proves by itself. It is
trusted only because its hash is the leaf that the proof is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from triton.errors import EvidenceError
from triton.evidence import notes, tree
from triton.evidence.notes import TreeHead, VerifierKey

HEADER = "c2sp.org/tlog-proof@v1"

_INDEX = re.compile("index (0|[1-9][0-9]{0,18})")
#: A tree of 2**63 leaves has no longer one.
_MAX_HASHES = 63


class Proof(msgspec.Struct, frozen=True):
    """`index` is the leaf, so the event's position less one; `checkpoint` the signed tree head's bytes."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    record: bytes | None = None

    def __bytes__(self) -> bytes:
        lines = [HEADER]
        if self.record is not None:
            lines.append(f"extra {notes.encode(self.record)}")
        lines.append(f"index {self.index}")
        lines += [notes.encode(value) for value in self.hashes]
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    @property
    def position(self) -> int:
        return self.index + 1


def parse_proof(raw: bytes) -> Proof:
    """Raises EvidenceError for anything that is not exactly a tlog-proof. Verifies nothing."""
    head, blank, checkpoint = raw.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed("its lines are not ASCII") from error
    if not blank or lines.pop(0) != HEADER:
        raise _malformed(f"its first line is not {HEADER}")
    record = None
    if lines and lines[0].startswith("extra "):
        record = notes.decode(lines.pop(0)[6:])
        if record is None:
            raise _malformed("its extra line is not base64")
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None:
        raise _malformed("it has no index line")
    hashes = [notes.decode(line) for line in lines]
    whole = [value for value in hashes if value is not None and len(value) == tree.HASH_BYTES]
    if len(whole) != len(hashes) or len(hashes) > _MAX_HASHES:
        raise _malformed("its path is not a list of hashes, each the base64 of 32 bytes")
    return Proof(int(index[1]), tuple(whole), checkpoint, record)


def verify_proof(
    proof: Proof, keys: Sequence[VerifierKey], origin: str, record: bytes | None = None
) -> TreeHead:
    """The signed tree head that contains the record: the one given, else the one that the proof carries.

    Raises EvidenceError where any part does not fit.
    """
    if record is None:
        record = proof.record
    if record is None:
        raise EvidenceError("the proof carries no record: give the event's stored bytes as well")
    head = notes.open_head(proof.checkpoint, keys, origin)
    leaf = tree.leaf_hash(record)
    if not tree.verify_inclusion(leaf, proof.index, head.size, proof.hashes, head.root):
        raise EvidenceError(
            f"the proof does not lead from this event at position {proof.position} to the signed "
            f"root of {head.origin} at size {head.size}: the event, the position or the proof was changed"
        )
    return head


def _malformed(what: str) -> EvidenceError:
    return EvidenceError(f"this is no tlog-proof: {what}")
