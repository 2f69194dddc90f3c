"""Owns the step from blocks to pages: clean text, exact offsets, and pages where a format has none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

import msgspec

from triton.extraction.model import Heading, Kind, Page, Span, Table

#: Characters after which a format without pages begins a new section.
SECTION_CHARACTERS = 3000
MAX_HEADING_CHARACTERS = 500

Rows = tuple[tuple[str, ...], ...]

_NEWLINES = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Control characters, noncharacters and lone surrogates: neither JSON nor PostgreSQL takes them all.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Block(msgspec.Struct, frozen=True):
    """A stretch of a document as its format module found it; `break_before` begins a new page."""

    kind: Kind
    text: str
    level: int = 0
    rows: Rows = ()
    break_before: bool = False


def clean(text: str) -> str:
    """NFC text with `\\n` as the only line end and nothing that a JSON or SQL text cannot hold."""
    if _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _UNWANTED.sub("", _NEWLINES.sub("\n", text))
    return "\n".join(line.rstrip() for line in unicodedata.normalize("NFC", text).split("\n"))


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def heading(text: str, level: int, *, break_before: bool = False) -> Block:
    """A heading, or a paragraph when it is too long to be one."""
    line = one_line(text)
    kind: Kind = "heading" if len(line) <= MAX_HEADING_CHARACTERS else "paragraph"
    return Block(kind, line, min(max(level, 1), 6), break_before=break_before)


def table(rows: Iterable[Iterable[str]], *, break_before: bool = False) -> Block:
    """A table; its text has a line per row and a tab between cells."""
    cells = tuple(tuple(one_line(cell) for cell in row) for row in rows)
    cells = tuple(row for row in cells if any(row))
    text = "\n".join("\t".join(row) for row in cells)
    return Block("table", text, rows=cells, break_before=break_before)


def assemble(number: int, blocks: Iterable[Block]) -> tuple[Page, list[Heading], list[Table]]:
    """One page of these blocks, and its headings and tables with their places in the page's text."""
    parts: list[str] = []
    spans: list[Span] = []
    headings: list[Heading] = []
    tables: list[Table] = []
    end = 0
    for block in blocks:
        # A table's and a heading's text is clean already, and stripping would lose empty cells.
        text = block.text if block.kind in ("table", "heading") else clean(block.text).strip("\n")
        if not text.strip():
            continue
        if spans:
            gap = "\n" if block.kind == spans[-1].kind == "item" else "\n\n"
            parts.append(gap)
            end += len(gap)
        start, end = end, end + len(text)
        parts.append(text)
        spans.append(Span(start, end, block.kind))
        if block.kind == "heading":
            headings.append(Heading(block.level, text, number, start, end))
        elif block.kind == "table":
            tables.append(Table(number, start, end, block.rows))
    return Page(number, "".join(parts), tuple(spans)), headings, tables


def paginate(blocks: Iterable[Block], *, sections: bool) -> Iterator[list[Block]]:
    """Blocks by page: at the document's own breaks, or with `sections` by size and headings too."""
    page: list[Block] = []
    size = 0
    for block in blocks:
        full = sections and (
            size + len(block.text) > SECTION_CHARACTERS
            or (block.kind == "heading" and block.level <= 2 and size > SECTION_CHARACTERS // 2)
        )
        if page and (block.break_before or full):
            yield page
            page, size = [], 0
        page.append(block)
        size += len(block.text)
    if page:
        yield page
