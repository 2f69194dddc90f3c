"""Owns DOCX, opened with python-docx: the body's paragraphs and tables in order, notes at the end.

The walk is over the XML, because text in content controls, insertions and text boxes counts too.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any

import docx
from lxml import etree

import triton
from triton.extraction import ooxml
from triton.extraction.blocks import Block, heading, paginate, table
from triton.extraction.budget import Budget
from triton.extraction.document import Document
from triton.extraction.docx_styles import Styles, W, level_of
from triton.extraction.model import Kind
from triton.extraction.source import Source

_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
#: Text that is not the document's: deleted, moved away, or a second rendering of the same drawing.
_SKIPPED = {_FALLBACK, f"{W}del", f"{W}moveFrom", f"{W}pPr", f"{W}rPr", f"{W}instrText"}
_BREAKS = {f"{W}br": "\n", f"{W}cr": "\n", f"{W}tab": "\t", f"{W}noBreakHyphen": "‑"}
_NOTES = re.compile(r"/word/(?:footnotes|endnotes)\.xml$")
_FIELDS = ("author", "last_modified_by", "subject", "keywords", "category", "language", "comments")


def read(source: Source, budget: Budget) -> Document:
    """Pages at the breaks that Word noted, else sections: a DOCX itself has no pages."""
    with zipfile.ZipFile(source.rewound()) as archive:
        ooxml.check(archive, budget.limits)
    document = docx.Document(source.rewound())
    paged = _has_page_breaks(document.element.body)
    pages = list(paginate(_all_blocks(document, budget), sections=not paged))
    return Document(
        extractor="python-docx",
        version=f"{version('python-docx')}+triton.{triton.__version__}",
        total=len(pages),
        metadata={"paging": "breaks" if paged else "sections", **_metadata(document)},
        pages=iter(pages),
        title=str(document.core_properties.title or ""),
    )


def _all_blocks(document: Any, budget: Budget) -> Iterator[Block]:
    yield from _Walk(Styles(document), budget).blocks(document.element.body)
    for part in document.part.package.iter_parts():
        if _NOTES.match(str(part.partname)):
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            for note in etree.fromstring(part.blob, parser).iterchildren():
                text = "".join(_parts(note)).strip()
                if text:
                    yield Block("note", text)


class _Walk:
    """The blocks of an element, depth first, without recursion."""

    def __init__(self, styles: Styles, budget: Budget) -> None:
        self._styles = styles
        self._budget = budget
        self._break = False

    def blocks(self, root: Any) -> Iterator[Block]:
        stack = [iter(root)]
        while stack:
            element = next(stack[-1], None)
            if element is None:
                stack.pop()
            elif element.tag == f"{W}p":
                self._budget.check_time()
                yield from self._paragraph(element)
            elif element.tag == f"{W}tbl":
                yield table(_rows(element), break_before=self._take_break())
            elif isinstance(element.tag, str) and element.tag not in _SKIPPED:
                # Content controls, insertions, custom XML: wrappers around paragraphs.
                stack.append(iter(element))

    def _paragraph(self, element: Any) -> Iterator[Block]:
        properties = element.find(f"{W}pPr")
        level, item = self._kind(properties)
        if properties is not None and _is_on(properties.find(f"{W}pageBreakBefore")):
            self._break = True
        # A paragraph with breaks inside falls into the parts before, between and after them.
        for number, part in enumerate(_parts(element)):
            if number:
                self._break = True
            if not part.strip():
                continue
            if level:
                yield heading(part, level, break_before=self._take_break())
            else:
                kind: Kind = "item" if item else "paragraph"
                yield Block(kind, part, break_before=self._take_break())

    def _kind(self, properties: Any) -> tuple[int, bool]:
        """Heading level (0 for none), and whether it is a list's item; the paragraph's own word wins."""
        if properties is None:
            return 0, False
        style = properties.find(f"{W}pStyle")
        level, item = self._styles.of("" if style is None else str(style.get(f"{W}val", "")))
        outline = properties.find(f"{W}outlineLvl")
        own = properties.find(f"{W}numPr") is not None
        return level if outline is None else level_of(outline), item or own

    def _take_break(self) -> bool:
        found, self._break = self._break, False
        return found


def _parts(element: Any) -> list[str]:
    """The element's text, cut at page breaks. Nested paragraphs (text boxes, cells) begin a line."""
    parts: list[list[str]] = [[]]
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
            continue
        tag = child.tag
        if not isinstance(tag, str) or tag in _SKIPPED:
            continue
        if tag == f"{W}t":
            parts[-1].append(child.text or "")
        elif _is_page_break(child):
            parts.append([])
        elif tag in _BREAKS:
            parts[-1].append(_BREAKS[tag])
        else:
            if tag == f"{W}p" and parts[-1]:
                parts[-1].append("\n")
            stack.append(iter(child))
    return ["".join(part) for part in parts]


def _rows(element: Any) -> list[list[str]]:
    """The cells' text by row; a merged cell stands once. Rows and cells may hide in content controls."""
    return [
        [" ".join(_parts(cell)) for cell in _own(row, f"{W}tc")] for row in _own(element, f"{W}tr")
    ]


def _own(element: Any, tag: str) -> Iterator[Any]:
    """The children with this tag, seen through wrappers but not into other tables."""
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag == tag:
            yield child
        elif isinstance(child.tag, str) and child.tag not in (f"{W}tbl", f"{W}tc", *_SKIPPED):
            stack.append(iter(child))


def _is_page_break(element: Any) -> bool:
    if element.tag == f"{W}lastRenderedPageBreak":
        return True
    return bool(element.tag == f"{W}br" and element.get(f"{W}type") == "page")


def _has_page_breaks(body: Any) -> bool:
    marks = body.iter(f"{W}lastRenderedPageBreak", f"{W}br", f"{W}pageBreakBefore")
    return any(_is_page_break(mark) or mark.tag == f"{W}pageBreakBefore" for mark in marks)


def _is_on(element: Any) -> bool:
    return element is not None and element.get(f"{W}val", "1") not in ("0", "false", "off")


def _metadata(document: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    properties = document.core_properties
    for name in (*_FIELDS, "created", "modified"):
        try:
            value = getattr(properties, name)
        except (ValueError, AttributeError):
            continue
        if isinstance(value, datetime):
            found[name] = value.isoformat()
        elif value:
            found[name] = str(value)
    return found
