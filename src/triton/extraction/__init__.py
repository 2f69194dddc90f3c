"""Documents in, structure out: text, headings, tables, metadata, statistics, lineage. No Triton I/O."""

from triton.extraction.errors import ExtractionError
from triton.extraction.model import (
    Extraction,
    Heading,
    Limits,
    Lineage,
    Page,
    Span,
    Statistics,
    Table,
)
from triton.extraction.pipeline import extract

__all__ = [
    "Extraction",
    "ExtractionError",
    "Heading",
    "Limits",
    "Lineage",
    "Page",
    "Span",
    "Statistics",
    "Table",
    "extract",
]
