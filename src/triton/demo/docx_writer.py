"""Owns blocks as a DOCX, by python-docx: headings, text, code, lists, tables; a page per chapter."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import docx as python_docx
from docx.shared import Pt

from triton.extraction.blocks import Block

#: Neither the clock nor the machine goes into the file, so the same blocks give the same bytes.
_MADE = datetime(2000, 1, 1, tzinfo=UTC)
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def docx(title: str, blocks: Iterable[Block]) -> bytes:
    """A DOCX whose headings of level 1 and 2 begin a page."""
    document = python_docx.Document()
    properties = document.core_properties
    properties.title = title
    properties.author = properties.last_modified_by = "The Triton project"
    properties.comments = ""
    properties.created = properties.modified = _MADE
    empty = True
    for block in blocks:
        if block.kind == "heading":
            heading = document.add_heading(block.text, level=block.level)
            heading.paragraph_format.page_break_before = block.level <= 2 and not empty
        elif block.kind == "table" and block.rows:
            _add_table(document, block)
        elif block.kind == "code":
            run = document.add_paragraph(style="No Spacing").add_run(block.text.rstrip("\n"))
            run.font.name, run.font.size = "Courier New", Pt(8)
        elif block.text.strip():
            document.add_paragraph(
                block.text, style="List Bullet" if block.kind == "item" else None
            )
        empty = False
    out = io.BytesIO()
    document.save(out)
    return _timeless(out)


def _add_table(document: Any, block: Block) -> None:
    columns = max(len(row) for row in block.rows)
    table = document.add_table(rows=len(block.rows), cols=columns, style="Table Grid")
    for cells, row in zip(table.rows, block.rows, strict=True):
        for cell, text in zip(cells.cells, row, strict=False):
            cell.text = text


def _timeless(saved: io.BytesIO) -> bytes:
    """The same ZIP without the time of its making."""
    out = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            entry = zipfile.ZipInfo(info.filename, date_time=_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, old.read(info))
    return out.getvalue()
