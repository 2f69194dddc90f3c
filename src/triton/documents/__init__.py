"""Uploaded documents: their rows, and the lineage of what was extracted from them."""

from triton.documents.repository import Document, add, add_lineage, get

__all__ = ["Document", "add", "add_lineage", "get"]
