"""Owns the signed declaration that a log goes on from an earlier life of it. Pure.

Without it, two trees of one partition are two histories, and nobody could say which one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from triton.errors import EvidenceError
from triton.evidence import notes
from triton.evidence.layout import Tree
from triton.evidence.notes import Signer

HEADER: Final = "triton adopted log v1"


def key_of(tree: Tree) -> str:
    """Where the declaration of a tree's beginning lies."""
    return f"{tree.prefix}adopted"


def declaration(origin: str, before: str, common: int, signers: Sequence[Signer]) -> bytes:
    """The note that the log of `origin` shares positions 1 to `common` with the log of `before`."""
    text = "\n".join((HEADER, origin, before, str(common), ""))
    return bytes(notes.sign(text, signers))


def parse(raw: bytes) -> tuple[str, int]:
    """The epoch that a declaration says was before, and the last position that both share. Raises
    EvidenceError; checks no signature."""
    lines = notes.parse_note(raw).text.split("\n")
    if len(lines) != 5 or lines[0] != HEADER or not lines[3].isdigit():
        raise EvidenceError(
            f"this is no declaration of a log's life: {lines[0][:80]!r}; "
            "bring it back from another copy of the archive"
        )
    return lines[2].rpartition("/")[2], int(lines[3])
