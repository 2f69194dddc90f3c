"""Owns the documents that the extraction's tests read: made by the libraries that people make them with."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import docx
import pypdf
from docx.enum.text import WD_BREAK
from reportlab.lib import colors
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table

STYLES = getSampleStyleSheet()
BODY = "The quick brown fox jumps over the lazy dog. It was not amused. " * 6
ROWS = [["Name", "Count", "Price"], ["Apples", "12", "3.50"], ["Pears", "7", "12.00"]]


def pdf(*, title: str = "Quarterly report", pages: int = 3) -> bytes:
    """Each page: a heading, text, a table with a grid."""
    story: list[Any] = []
    for page in range(1, pages + 1):
        story += [
            Paragraph(f"Chapter number {page}", STYLES["Heading1"]),
            Paragraph(BODY, STYLES["BodyText"]),
            Paragraph(f"Section {page}.1 on foxes", STYLES["Heading2"]),
            Paragraph(BODY, STYLES["BodyText"]),
            Spacer(1, 12),
            Table(ROWS, style=[("GRID", (0, 0), (-1, -1), 0.5, colors.black)]),
            PageBreak(),
        ]
    return pdf_of(story, title=title, author="Ada Example")


def pdf_of(story: list[Any], **properties: str) -> bytes:
    out = io.BytesIO()
    SimpleDocTemplate(out, invariant=1, **properties).build(story)
    return out.getvalue()


def encrypted_pdf(user_password: str, algorithm: str = "RC4-128") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(pages=1)))
    writer.encrypt(user_password, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word(*, breaks: bool = True) -> bytes:
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.core_properties.author = "Ada Example"
    document.add_heading("Handbook", level=0)
    document.add_paragraph(BODY)
    document.add_heading("Tables", level=1)
    table = document.add_table(rows=0, cols=3)
    for row in ROWS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    if breaks:
        document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    document.add_heading("Lists", level=2)
    document.add_paragraph("first item", style="List Bullet")
    document.add_paragraph("second item", style="List Number")
    return saved(document)


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def with_part(data: bytes, name: str, content: bytes) -> bytes:
    """The ZIP with one part replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info))
        new.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)
    return out.getvalue()


def part(data: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


MARKDOWN = """---
title: "Notes on *foxes*"
author: Ada Example
date: 2024-05-01
---

# Foxes & friends

A paragraph with **bold**, `code`, a [link](https://example.org/x) and ![a picture](p.png).

Second line\\
hard break.

## Numbers

| name | count |
|------|------:|
| a    | **1** |
| b\\|c | 2     |

- one
- two with *stress*

```python
# not a heading
print("x")
```

<h3>From HTML</h3>

Setext
------
"""

HTML = """<!DOCTYPE html>
<html lang="en"><head><title>The  page</title>
<meta name="author" content="Ada Example"><meta name="date" content="2024-05-01">
<style>p { color: red }</style><script>var hidden = "<p>no</p>";</script></head>
<body><!-- a comment --><h1>Foxes &amp; <em>friends</em></h1>
<p>One <b>bold</b> word,<br>a new line &eacute;.</p>
<div>Loose text <p>inner</p> tail</div>
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2 <i>x</i></td></tr></table>
<table><tr><td><h2>Layout</h2></td></tr></table>
<ul><li>first</li><li>second</li></ul>
<pre>  kept
    as is</pre>
<template>not shown</template>
</body></html>"""
