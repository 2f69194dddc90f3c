"""Owns plain text: encodings, and blocks at blank lines and form feeds."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import triton
from triton.extraction.blocks import Block, clean, paginate
from triton.extraction.document import Document
from triton.extraction.source import Source

_BOMS = (
    # UTF-32 LE begins with UTF-16 LE's mark, so it comes first.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# By the line: one that looks at each character keeps the interpreter for seconds where no line is blank.
_PARAGRAPH = re.compile(r"[^\n]++(?:\n[^\n]++)*+\n?")


def decode(data: bytes, *, cut: bool = False) -> tuple[str, str]:
    """The text and its encoding: by its mark, else UTF-8, else Windows-1252 (a superset of Latin-1's
    letters). `cut` says that the data may end inside a character.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(data, final=not cut), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def read(source: Source) -> Document:
    """Paragraphs at blank lines; pages at form feeds where there are any, else sections."""
    text, encoding = decode(source.read())
    paged = "\f" in text.strip("\f\n ")
    # Twice over the text is cheaper than all its blocks in memory.
    total = sum(1 for _ in paginate(_blocks(text), sections=not paged))
    return Document(
        extractor="triton.text",
        version=triton.__version__,
        total=total,
        metadata={"encoding": encoding, "paging": "breaks" if paged else "sections"},
        pages=paginate(_blocks(text), sections=not paged),
    )


def _blocks(text: str) -> Iterator[Block]:
    for number, page in enumerate(re.finditer(r"[^\f]+", text)):
        first = True
        for paragraph in _PARAGRAPH.finditer(clean(page[0])):
            yield Block("paragraph", paragraph[0], break_before=first and number > 0)
            first = False
