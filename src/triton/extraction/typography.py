"""Owns what a PDF's rows are: headings by size and bookmarks, tables by columns, paragraphs by gaps.

A heading is a short line that a bookmark names, or in a size above the body's, or bold and numbered.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from triton.extraction import layout
from triton.extraction.blocks import Block, heading, one_line, table
from triton.extraction.layout import Cell, Piece, Row

#: Of the characters, code left out: the largest size with this share is the body's, because tables and
#: notes are smaller and headings are few.
BODY_SHARE = 0.2
#: A line this many times the body's size is a heading.
HEADING_RATIO = 1.15
MAX_HEADING_LINES = 3
MAX_HEADING_CHARACTERS = 200

_NUMBERED = re.compile(r"(?:\d{1,2}\.)*\d{1,2}\.?\s+\S|[A-Z]\.\d|[IVX]{1,5}\.\s+\S")
_BULLET = re.compile(r"(?:[•▪◦‣·*–—-]|\(?\w{1,3}[.)])$")
_LEADER = re.compile(r"\.{4,}|(?:\. ){4,}")


class Sizes(msgspec.Struct, frozen=True):
    """The size of the body's text, and the sizes of headings from small to large."""

    body: float
    headings: tuple[float, ...]

    def level(self, size: float) -> int:
        """1 for the largest size, 6 at most."""
        smaller = bisect_left(self.headings, round(size * 2) / 2)
        return min(6, max(1, len(self.headings) - smaller))


def sizes(pages: Iterable[Iterable[Piece]]) -> Sizes:
    """The sizes of a document, from some of its pages."""
    characters: dict[float, int] = {}
    for pieces in pages:
        for piece in pieces:
            if not piece.mono:
                size = round(piece.size * 2) / 2
                characters[size] = characters.get(size, 0) + len(piece.text.strip())
    enough = sum(characters.values()) * BODY_SHARE
    body = max((size for size, count in characters.items() if count >= enough), default=0.0)
    larger = sorted(
        size for size, count in characters.items() if size >= body * HEADING_RATIO and count
    )
    return Sizes(body, tuple(larger[-6:]))


def blocks(pieces: Iterable[Piece], sizes: Sizes, bookmarks: dict[str, int]) -> Iterator[Block]:
    """The page's blocks in the order of its content stream.

    `bookmarks` holds those that point to this page: normalized title -> level.
    """
    run: list[Row] = []
    for row in layout.rows(pieces):
        if run and not _continues(run[-1], row):
            yield from _flush(run, sizes, bookmarks)
            run = []
        run.append(row)
    yield from _flush(run, sizes, bookmarks)


def normalized(title: str) -> str:
    """A heading's text without its number, case and spaces: how bookmarks and lines are compared."""
    return re.sub(r"[\W_]+", "", re.sub(r"^\s*[\d.]+\s+", "", title)).casefold()


def _continues(last: Row, row: Row) -> bool:
    """Whether the row belongs to the same table, paragraph or heading as the last one."""
    if len(row.cells) > 1 or len(last.cells) > 1:
        return layout.aligned(last, row)
    above, below = last.cells[0], row.cells[0]
    return (
        abs(above.size - below.size) < 0.3
        and above.bold == below.bold
        and 0 < above.bottom - below.y <= 1.75 * max(above.size, 0.1)
    )


def _flush(run: list[Row], sizes: Sizes, bookmarks: dict[str, int]) -> Iterator[Block]:
    if not run:
        return
    columns = len(run[0].cells)
    if columns == 1:
        yield from _running_text(run, sizes, bookmarks)
    elif len(run) >= (2 if columns > 2 else 3) and _tabular(run):
        yield table([[" ".join(cell.lines) for cell in row.cells] for row in run])
    else:
        for row in run:
            yield Block("paragraph", _side_by_side(row))


def _running_text(run: list[Row], sizes: Sizes, bookmarks: dict[str, int]) -> Iterator[Block]:
    lines = [one_line(row.cells[0].lines[0]) for row in run]
    # The bookmark may name the first lines only, when text of the same size follows.
    for count in range(min(len(lines), MAX_HEADING_LINES), 0, -1):
        level = bookmarks.get(normalized(" ".join(lines[:count])))
        if level is not None:
            yield heading(" ".join(lines[:count]), level)
            yield from _flush(run[count:], sizes, bookmarks)
            return
    first, text = run[0].cells[0], " ".join(lines)
    if _is_heading(text, len(lines), first, sizes):
        smaller = first.size < sizes.body * HEADING_RATIO
        yield heading(text, len(sizes.headings) + 1 if smaller else sizes.level(first.size))
    else:
        yield Block("paragraph", "\n".join(lines))


def _is_heading(text: str, lines: int, first: Cell, sizes: Sizes) -> bool:
    if lines > MAX_HEADING_LINES or len(text) > MAX_HEADING_CHARACTERS:
        return False
    if sum(map(str.isalpha, text)) < 2 or _LEADER.search(text):
        return False
    if first.size >= sizes.body * HEADING_RATIO:
        return True
    return first.bold and lines == 1 and first.size >= sizes.body and bool(_NUMBERED.match(text))


def _tabular(run: list[Row]) -> bool:
    """Not a list whose marks stand apart, not a table of contents, not running text in columns."""
    first = [one_line(row.cells[0].lines[0]) for row in run]
    if len(run[0].cells) == 2 and all(_BULLET.match(text) for text in first):
        return False
    texts = (" ".join(cell.lines) for row in run for cell in row.cells)
    if sum(bool(_LEADER.search(text)) for text in texts) * 2 > len(run):
        return False
    return layout.in_columns(run)


def _side_by_side(row: Row) -> str:
    if all(len(cell.lines) == 1 for cell in row.cells):
        return " ".join(one_line(cell.lines[0]) for cell in row.cells)
    return "\n".join(one_line(line) for cell in row.cells for line in cell.lines)
