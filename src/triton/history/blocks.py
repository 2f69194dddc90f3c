"""Owns turning the records of a segment's block into a page, checked as entries from Redis are. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from triton.errors import EvidenceError
from triton.events.entries import Page
from triton.evidence.segment import Block

_Row: TypeAlias = tuple[
    int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes
]
_decoder: Final = msgspec.msgpack.Decoder(list[_Row])
#: msgpack's array of up to 2**32 values; its length follows.
_ARRAY: Final = b"\xdd"


def page_of_block(partition: int, block: Block, records: Sequence[bytes]) -> Page:
    """The page that the records of a block are. Raises EvidenceError."""
    try:
        rows: list[Any] = _decoder.decode(_ARRAY + len(records).to_bytes(4) + b"".join(records))
    except msgspec.MsgspecError as error:
        raise _damaged(block, f"a record is no entry ({error})") from error
    positions = range(block.first_position, block.first_position + len(records))
    if not rows:
        raise _damaged(block, "it is empty")
    found, *columns = zip(*rows, strict=True)
    if list(found) != list(positions):
        raise _damaged(block, "its positions do not follow one another")
    return Page(partition, positions, columns)


def _damaged(block: Block, why: str) -> EvidenceError:
    return EvidenceError(
        f"The block at position {block.first_position} of a segment cannot be read: {why}. Read it from "
        "another copy of the archive.",
        position=block.first_position,
    )
