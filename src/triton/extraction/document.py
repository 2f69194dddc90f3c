"""Owns what a format module gives back: an opened document whose pages come one by one."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from triton.extraction.blocks import Block


class Document(msgspec.Struct):
    """`total` pages follow; reading them may add to `metadata`. Empty strings there are dropped."""

    extractor: str
    version: str
    total: int
    metadata: dict[str, str]
    pages: Iterator[list[Block]]
    title: str = ""
