"""Owns the whole extraction: detect, read page after page, count, and one kind of error to the outside."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, TypeVar

from triton.errors import ConfigurationError, TritonError
from triton.extraction import detect, errors, text
from triton.extraction.blocks import Block, assemble, one_line
from triton.extraction.budget import Budget
from triton.extraction.document import Document
from triton.extraction.model import (
    DOCX,
    HTML,
    MARKDOWN,
    PDF,
    TEXT,
    Extraction,
    Heading,
    Limits,
    Lineage,
    Page,
    Table,
)
from triton.extraction.source import Source, opened
from triton.extraction.statistics import Counter

#: Characters of one metadata value and of the title.
MAX_VALUE_CHARACTERS = 500

_MODULES = {
    PDF: "triton.extraction.pdf",
    DOCX: "triton.extraction.docx",
    HTML: "triton.extraction.html",
    MARKDOWN: "triton.extraction.markdown",
}

Answer = TypeVar("Answer")
OnPage = Callable[[int, int], None]
OnFinding = Callable[[Heading | Table], None]


def _ignore(*_: object) -> None:
    """What a caller that did not ask for news gets."""


def extract(
    data: BinaryIO | bytes,
    *,
    filename: str,
    media_type: str | None = None,
    on_page: OnPage = _ignore,
    on_finding: OnFinding = _ignore,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Extraction:
    """Everything that is found in one document.

    `filename` and `media_type` (as announced by the sender) only settle which kind of text a text is.
    After each page `on_finding` gets what is new, then `on_page` the pages done and their number; what
    they raise ends the extraction. Raises ExtractionError, and ConfigurationError when the libraries of
    the extra `documents` are not installed. `clock` gives seconds.
    """
    limits = limits or Limits()
    budget = Budget(limits, clock)
    with opened(data, limits.max_bytes) as source:
        found = detect.detect(source, filename=filename, media_type=media_type)
        detect.refuse_renamed(found, filename)
        label = detect.LABELS[found]
        document = _guarded(label, lambda: _read(found, source, budget))
        budget.check_pages(document.total)
        counter = Counter()
        pages: list[Page] = []
        headings: list[Heading] = []
        tables: list[Table] = []
        lineage: list[Lineage] = []
        for blocks in _pages(label, document.pages):
            page, new_headings, new_tables = assemble(len(pages) + 1, blocks)
            budget.add(page)
            counter.add(page)
            pages.append(page)
            headings += new_headings
            tables += new_tables
            lineage += _lineage(document, page, new_headings, new_tables)
            findings: list[Heading | Table] = [*new_headings, *new_tables]
            for finding in sorted(findings, key=lambda item: item.start):
                on_finding(finding)
            on_page(len(pages), document.total)
        _refuse_empty(label, pages, document.metadata)
        note = detect.mismatch(found, filename=filename, media_type=media_type)
        return Extraction(
            media_type=found,
            title=_title(document.title, headings, filename),
            metadata=_values({**document.metadata, "mismatch": note or ""}),
            statistics=counter.result(
                sha256=source.sha256, size=source.size, headings=len(headings), tables=len(tables)
            ),
            headings=tuple(headings),
            tables=tuple(tables),
            pages=tuple(pages),
            lineage=tuple(lineage),
        )


def _read(media_type: str, source: Source, budget: Budget) -> Document:
    """The format's module, imported when its first document comes: each loads a library."""
    allowed = _max_text_bytes(media_type, budget.limits)
    if source.size > allowed:
        raise errors.too_large(
            f"The {detect.LABELS[media_type]} document has {source.size:,} bytes and {allowed:,} are allowed "
            "for this kind; split it and submit the parts.",
            size=source.size,
            allowed=allowed,
        )
    if media_type == TEXT:
        return text.read(source)
    try:
        module = importlib.import_module(_MODULES[media_type])
    except ImportError as error:
        raise ConfigurationError(
            f"The library {error.name} is not installed; install triton-jobs[documents].",
            setting="documents",
        ) from error
    document: Document = module.read(source, budget)
    return document


def _max_text_bytes(media_type: str, limits: Limits) -> int:
    if media_type in (PDF, DOCX):
        return limits.max_bytes
    return limits.max_markdown_bytes if media_type == MARKDOWN else limits.max_text_bytes


def _pages(label: str, pages: Iterator[list[Block]]) -> Iterator[list[Block]]:
    while (blocks := _guarded(label, lambda: next(pages, None))) is not None:
        yield blocks


def _guarded(label: str, step: Callable[[], Answer]) -> Answer:
    """Runs a parser: whatever a hostile document makes a library raise becomes one sentence."""
    try:
        return step()
    except TritonError:
        raise
    except MemoryError as error:
        raise errors.too_large(f"The {label} document needs more memory than there is.") from error
    except RecursionError as error:
        raise errors.broken(f"The {label} document is nested too deeply to be read.") from error
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise errors.broken(
            f"The {label} document cannot be read ({reason}); it may be damaged, upload it again.",
            reason=reason,
        ) from error


def _lineage(
    document: Document, page: Page, headings: list[Heading], tables: list[Table]
) -> Iterator[Lineage]:
    by = document.extractor, document.version
    yield Lineage(page.number, 0, len(page.text), "page", *by)
    for heading in headings:
        yield Lineage(page.number, heading.start, heading.end, "heading", *by)
    for table in tables:
        yield Lineage(page.number, table.start, table.end, "table", *by)


def _refuse_empty(label: str, pages: list[Page], metadata: dict[str, str]) -> None:
    if any(page.text for page in pages):
        return
    if metadata.get("paging") == "pages":
        raise errors.empty(
            f"The {label} document has {len(pages)} pages but no text; if it is a scan, run text "
            "recognition (OCR) on it and upload the result.",
            pages=len(pages),
        )
    raise errors.empty(f"The {label} document has no text; there is nothing to extract.")


def _title(title: str, headings: list[Heading], filename: str) -> str:
    """The document's own title, else its first heading of the highest level, else its name."""
    own = one_line(title)
    if not own and headings:
        own = min(headings, key=lambda heading: heading.level).text
    return (own or one_line(PurePosixPath(filename).stem))[:MAX_VALUE_CHARACTERS]


def _values(metadata: dict[str, str]) -> dict[str, str]:
    cleaned = {name: one_line(value)[:MAX_VALUE_CHARACTERS] for name, value in metadata.items()}
    return {name: value for name, value in cleaned.items() if value}
