"""Owns the values of an extraction: what was found, where, by which extractor, within which limits."""

from __future__ import annotations

from typing import Literal

import msgspec

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"

#: What a stretch of a page's text is.
Kind = Literal["heading", "paragraph", "item", "code", "table", "note"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one document may cost. Past a limit the extraction ends with `document_too_large`."""

    #: Bytes of the document itself.
    max_bytes: int = 64 * 1024 * 1024
    max_pages: int = 10_000
    #: Characters of extracted text.
    max_characters: int = 20_000_000
    #: Headings, paragraphs, items, tables, ... in all.
    max_blocks: int = 1_000_000
    #: Seconds for the whole document, looked at between pages and inside a PDF's page.
    max_seconds: float = 240.0
    #: Bytes that a DOCX may unpack to, in all and per XML part, and the ratio from 1 MiB on.
    max_unpacked_bytes: int = 256 * 1024 * 1024
    max_part_bytes: int = 32 * 1024 * 1024
    max_unpacked_ratio: int = 200
    #: Bytes of a text or HTML document, and of a Markdown one, whose parser takes the most memory.
    max_text_bytes: int = 32 * 1024 * 1024
    max_markdown_bytes: int = 4 * 1024 * 1024
    #: Tags of an HTML document.
    max_tags: int = 400_000


class Span(msgspec.Struct, frozen=True):
    """Characters `start` to `end` (exclusive) of a page's text, and what they are."""

    start: int
    end: int
    kind: Kind


class Page(msgspec.Struct, frozen=True):
    """One page, from number 1. Its spans cover all of its text but the blank lines between them."""

    number: int
    text: str
    spans: tuple[Span, ...]


class Heading(msgspec.Struct, frozen=True):
    """A heading: level 1 to 6, its text, and where it stands: `pages[page - 1].text[start:end]`."""

    level: int
    text: str
    page: int
    start: int
    end: int


class Table(msgspec.Struct, frozen=True):
    """A table: its rows of cells as text, and where it stands in the page's text."""

    page: int
    start: int
    end: int
    rows: tuple[tuple[str, ...], ...]


class Lineage(msgspec.Struct, frozen=True):
    """Which extractor in which version took which characters (start, end) from which page."""

    page: int
    start: int
    end: int
    kind: Literal["page", "heading", "table"]
    extractor: str
    version: str


class Statistics(msgspec.Struct, frozen=True):
    """Counts that mean the same in every language; `sha256` and `bytes` are the document's own.

    A word begins with a letter or digit and goes on to the next space, or is one ideograph or kana.
    A line is one with text.
    """

    sha256: str
    bytes: int
    pages: int
    characters: int
    words: int
    sentences: int
    lines: int
    headings: int
    tables: int


class Extraction(msgspec.Struct, frozen=True):
    """All that was found in one document.

    `media_type` is what the content is. `metadata` holds the document's own (author, created, ...) and
    notes: `paging` (pages | breaks | sections), `mismatch` when name and content disagree, `encoding`,
    `unreadable_pages`.
    """

    media_type: str
    title: str
    metadata: dict[str, str]
    statistics: Statistics
    headings: tuple[Heading, ...]
    tables: tuple[Table, ...]
    pages: tuple[Page, ...]
    lineage: tuple[Lineage, ...]
