"""Owns the counting: words, sentences and lines that need no dictionary and no language."""

from __future__ import annotations

import re

from triton.extraction.model import Page, Statistics

# Scripts that put no space between words: each character counts, as a reader's word count does.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}][^\s{_IDEOGRAPHS}]*")
_SENTENCE_END = re.compile(r"[.!?…؟।](?:[\"'”’)\]]*)(?=\s)|[。！？]")


def words(text: str) -> int:
    """The number of words."""
    return sum(1 for _ in _WORD.finditer(text))


def sentences(text: str) -> int:
    """The number of sentences of one block: what ends with a mark, and a rest that holds a word."""
    count, end = 0, 0
    for match in _SENTENCE_END.finditer(text):
        count += bool(_WORD.search(text, end, match.start()))
        end = match.end()
    return count + bool(_WORD.search(text, end))


class Counter:
    """Adds up pages one by one, so that no page has to be kept for the counting."""

    def __init__(self) -> None:
        self._pages = self._characters = self._words = self._sentences = self._lines = 0

    def add(self, page: Page) -> None:
        self._pages += 1
        self._characters += len(page.text)
        self._words += words(page.text)
        self._lines += sum(1 for line in page.text.split("\n") if line.strip())
        self._sentences += sum(
            sentences(page.text[span.start : span.end])
            for span in page.spans
            if span.kind in ("paragraph", "item", "note")
        )

    def result(self, *, sha256: str, size: int, headings: int, tables: int) -> Statistics:
        return Statistics(
            sha256=sha256,
            bytes=size,
            pages=self._pages,
            characters=self._characters,
            words=self._words,
            sentences=self._sentences,
            lines=self._lines,
            headings=headings,
            tables=tables,
        )
