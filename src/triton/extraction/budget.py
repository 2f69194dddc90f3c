"""Owns the running account of one extraction against its limits."""

from __future__ import annotations

from collections.abc import Callable

from triton.extraction import errors
from triton.extraction.model import Limits, Page


class Budget:
    """Counts seconds, pages and characters; raises ExtractionError `document_too_large` past a limit."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._end = clock() + limits.max_seconds
        self._characters = self._blocks = 0

    def check_time(self) -> None:
        if self._clock() > self._end:
            raise errors.too_large(
                f"The document takes longer than the {self.limits.max_seconds:g} seconds that are allowed; "
                "split it and submit the parts.",
                max_seconds=self.limits.max_seconds,
            )

    def check_pages(self, pages: int) -> None:
        if pages > self.limits.max_pages:
            raise errors.too_large(
                f"The document has {pages} pages and {self.limits.max_pages} are allowed; "
                "split it and submit the parts.",
                pages=pages,
                max_pages=self.limits.max_pages,
            )

    def add(self, page: Page) -> None:
        self._characters += len(page.text)
        self._blocks += len(page.spans)
        for name, found, allowed in (
            ("characters of text", self._characters, self.limits.max_characters),
            ("paragraphs and tables", self._blocks, self.limits.max_blocks),
        ):
            if found > allowed:
                raise errors.too_large(
                    f"The document has more than the {allowed} {name} that are allowed; "
                    "split it and submit the parts.",
                    allowed=allowed,
                )
