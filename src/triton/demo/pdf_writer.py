"""Owns blocks as a PDF, by reportlab: headings with bookmarks, text, code, lists, tables, page numbers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.platypus import LongTable, Paragraph, Preformatted, SimpleDocTemplate, Spacer

from triton.extraction.blocks import Block

MARGIN = 56
#: Characters of a line of code that fit between the margins.
_CODE_COLUMNS = 92

# The fonts that every PDF reader has know the letters of Windows-1252 only.
_REPLACED = str.maketrans(
    {
        "→": "->",
        "←": "<-",
        "↔": "<->",
        "⇒": "=>",
        "≥": ">=",
        "≤": "<=",
        "≠": "!=",
        "≈": "~",
        "−": "-",
        "✓": "yes",
        "✗": "no",
        "│": "|",
        "─": "-",
        "▶": ">",
        "▼": "v",
        "▲": "^",
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
    }
)


def pdf(title: str, blocks: Iterable[Block]) -> bytes:
    """A PDF of A4 pages; the same blocks give the same bytes."""
    out = io.BytesIO()
    template = _Template(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=title,
        author="The Triton project",
        invariant=1,
    )
    template.build(list(_story(blocks)), onFirstPage=_number, onLaterPages=_number)
    return out.getvalue()


class _Template(SimpleDocTemplate):  # type: ignore[misc]
    """Adds a bookmark for each heading; a level may only be one deeper than the one before."""

    _level = -1
    _count = 0

    def afterFlowable(self, flowable: Any) -> None:  # noqa: N802
        level = getattr(flowable, "heading_level", 0)
        if not level:
            return
        self._level = min(level - 1, self._level + 1)
        self._count += 1
        key = f"heading-{self._count}"
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(flowable.getPlainText(), key, self._level)


def _story(blocks: Iterable[Block]) -> Iterator[Any]:
    styles = getSampleStyleSheet()
    code = ParagraphStyle("Source", parent=styles["Code"], fontSize=7.5, leading=9.5, leftIndent=8)
    cell = ParagraphStyle("Cell", parent=styles["BodyText"], fontSize=8, leading=10)
    for block in blocks:
        if block.kind == "heading":
            paragraph = Paragraph(_markup(block.text), styles[f"Heading{block.level}"])
            paragraph.heading_level = block.level
            yield paragraph
        elif block.kind == "code":
            yield Preformatted(
                _plain(block.text), code, maxLineLength=_CODE_COLUMNS, newLineChars=""
            )
            yield Spacer(1, 6)
        elif block.kind == "table" and block.rows:
            yield _table(block, cell)
            yield Spacer(1, 8)
        elif block.kind == "item":
            yield Paragraph(_markup(block.text), styles["Bullet"], bulletText="•")
        elif block.text.strip():
            yield Paragraph(_markup(block.text), styles["BodyText"])


def _table(block: Block, style: ParagraphStyle) -> LongTable:
    columns = max(len(row) for row in block.rows)
    rows = [
        [Paragraph(_markup(text), style) for text in (*row, *[""] * (columns - len(row)))]
        for row in block.rows
    ]
    grid = [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    width = (A4[0] - 2 * MARGIN) / columns
    return LongTable(rows, colWidths=[width] * columns, repeatRows=1, splitInRow=1, style=grid)


def _number(canvas: Any, document: Any) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica", 8)
    canvas.drawCentredString(A4[0] / 2, MARGIN / 2, str(document.page))
    canvas.restoreState()


def _plain(text: str) -> str:
    return text.translate(_REPLACED).encode("cp1252", "replace").decode("cp1252")


def _markup(text: str) -> str:
    return escape(_plain(text))
