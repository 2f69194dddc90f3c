"""Owns PDF, read with pypdf: pieces of text with places, bookmarks, metadata. What the pieces are,
`layout` and `typography` say.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pypdf
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PdfReadError
from pypdf.generic import Destination

import triton
from triton.extraction import errors, typography
from triton.extraction.blocks import Block, clean, one_line
from triton.extraction.budget import Budget
from triton.extraction.document import Document
from triton.extraction.layout import Piece
from triton.extraction.source import Source

#: Pages, spread over the document, whose sizes of text tell the body from the headings.
SAMPLED_PAGES = 8
MAX_BOOKMARKS = 2000
MAX_PIECES = 300_000
#: Operators between two looks at the clock.
_STRIDE = 500

_FIELDS = ("title", "author", "subject", "keywords", "creator", "producer")
_MONO = ("mono", "courier", "consol", "menlo", "cmtt", "typewriter")
_BOLD = ("bold", "black", "heavy", "-bd", "cmbx")


def read(source: Source, budget: Budget) -> Document:
    """The pages as the PDF has them. A page that cannot be read is empty and named in the metadata."""
    _silence()
    reader = _open(source)
    total = len(reader.pages)
    budget.check_pages(total)
    if not total:
        raise errors.empty("The PDF has no pages; export it again.")
    metadata = {"paging": "pages", **_metadata(reader)}
    title = metadata.pop("title", "")
    return Document(
        extractor="pypdf",
        version=f"{pypdf.__version__}+triton.{triton.__version__}",
        total=total,
        metadata=metadata,
        pages=_pages(reader, total, metadata, budget),
        title=title,
    )


def _silence() -> None:
    """pypdf logs each oddity of a file; for a person they are noise, so they go nowhere."""
    logger = logging.getLogger("pypdf")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _open(source: Source) -> pypdf.PdfReader:
    locked = (
        "The PDF is encrypted with a password; save it without the password and upload it again."
    )
    try:
        reader = pypdf.PdfReader(source.rewound())
        if reader.is_encrypted and not reader.decrypt(""):
            raise errors.encrypted(locked)
    except (FileNotDecryptedError, NotImplementedError) as error:
        raise errors.encrypted(locked) from error
    except DependencyError as error:
        raise errors.encrypted(
            "The PDF is encrypted with AES, which this installation cannot decrypt; "
            "save it without encryption and upload it again."
        ) from error
    except PdfReadError as error:
        raise errors.broken(
            f"The PDF is damaged or cut off ({one_line(str(error))[:200]}); upload it again."
        ) from error
    return reader


def _metadata(reader: pypdf.PdfReader) -> dict[str, str]:
    """What the PDF says of itself; broken entries are left out."""
    found: dict[str, str] = {}
    try:
        information = reader.metadata
    except Exception:
        return found
    for name in (*_FIELDS, "creation_date", "modification_date"):
        try:
            value = getattr(information, name, None)
        except Exception:  # noqa: S112
            continue
        if isinstance(value, datetime):
            found["created" if name == "creation_date" else "modified"] = value.isoformat()
        elif isinstance(value, str) and value not in ("(unspecified)", "(anonymous)", "untitled"):
            found[name] = value
    return found


def _pages(
    reader: pypdf.PdfReader, total: int, metadata: dict[str, str], budget: Budget
) -> Iterator[list[Block]]:
    unreadable: list[int] = []
    bookmarks = _bookmarks(reader)
    step = max(1, total // SAMPLED_PAGES)
    sampled = {
        number: _pieces(reader, number, unreadable, budget)
        for number in list(range(0, total, step))[:SAMPLED_PAGES]
    }
    sizes = typography.sizes(sampled.values())
    for number in range(total):
        pieces = sampled.pop(number, None)
        if pieces is None:
            pieces = _pieces(reader, number, unreadable, budget)
        if unreadable:
            metadata["unreadable_pages"] = ", ".join(map(str, sorted(unreadable)))
        yield list(typography.blocks(pieces, sizes, bookmarks.get(number, {})))
    if len(unreadable) == total:
        raise errors.broken(
            "No page of the PDF can be read: its content is damaged; upload it again."
        )


def _pieces(
    reader: pypdf.PdfReader, number: int, unreadable: list[int], budget: Budget
) -> list[Piece]:
    pieces: list[Piece] = []
    operators = 0

    def on_text(text: str, cm: list[float], tm: list[float], font: Any, size: float) -> None:
        if text:
            pieces.append(_placed(text, cm, tm, font, size))
            _check_pieces(number, pieces)

    def on_operator(*_: object) -> None:
        nonlocal operators
        operators += 1
        if operators % _STRIDE == 0:
            budget.check_time()

    budget.check_time()
    try:
        reader.pages[number].extract_text(visitor_text=on_text, visitor_operand_before=on_operator)
    except (errors.ExtractionError, MemoryError):
        raise
    except LimitReachedError as error:
        raise errors.too_large(
            f"Page {number + 1} of the PDF unpacks to more than is allowed "
            f"({one_line(str(error))[:200]})."
        ) from error
    except Exception:
        # pypdf's own errors and whatever else a damaged page trips: the other pages may be fine.
        unreadable.append(number + 1)
        return []
    # pypdf swallows what a visitor raises inside a form, so both limits are asked again.
    budget.check_time()
    _check_pieces(number, pieces)
    return pieces


def _check_pieces(number: int, pieces: list[Piece]) -> None:
    if len(pieces) > MAX_PIECES:
        raise errors.too_large(
            f"Page {number + 1} of the PDF has more than {MAX_PIECES} pieces of text."
        )


def _placed(text: str, cm: list[float], tm: list[float], font: Any, size: float) -> Piece:
    """The piece where the reader sees it, turned so that its text runs to the right."""
    a = tm[0] * cm[0] + tm[1] * cm[2]
    b = tm[0] * cm[1] + tm[1] * cm[3]
    c = tm[2] * cm[0] + tm[3] * cm[2]
    d = tm[2] * cm[1] + tm[3] * cm[3]
    x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
    y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
    length = math.hypot(a, b)
    if length > 0 and abs(b) > 1e-3 * length:
        x, y = (x * a + y * b) / length, (y * a - x * b) / length
    size = abs(size) * math.hypot(c, d)
    if not all(map(math.isfinite, (x, y, size))):
        x = y = size = 0.0
    name = str(font.get("/BaseFont", "")).lower() if hasattr(font, "get") else ""
    # Not clean(): the pieces of a line are joined, so the spaces at their ends count.
    bold, mono = (any(mark in name for mark in marks) for marks in (_BOLD, _MONO))
    return Piece(text, x, y, size, bold, mono)


def _bookmarks(reader: pypdf.PdfReader) -> dict[int, dict[str, int]]:
    """The document's outline: page index -> normalized title -> level. An odd outline is no outline."""
    found: dict[int, dict[str, int]] = {}
    try:
        stack: list[tuple[int, Iterator[Any]]] = [(1, iter(reader.outline))]
        seen = 0
        while stack and seen < MAX_BOOKMARKS:
            level, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, list):
                stack.append((level + 1, iter(entry)))
            elif isinstance(entry, Destination):
                seen += 1
                page = reader.get_destination_page_number(entry)
                title = typography.normalized(clean(str(entry.title or "")))
                if page is not None and title:
                    found.setdefault(page, {}).setdefault(title, min(level, 6))
    except Exception:
        return found
    return found
