"""Owns the signed declaration that a log goes on from an earlier life of it. Pure.

Without it, two trees of one partition are two histories, and nobody could say which one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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
