"""Owns what a paragraph of a DOCX is by its style: a heading, a list's item, or text."""

from __future__ import annotations

import re
from typing import Any

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"

_HEADING = re.compile(r"heading ([1-9])$")


class Styles:
    """Built-in names, outline levels and list numbering, each taken over from the styles below."""

    def __init__(self, document: Any) -> None:
        self._styles = {
            str(style.get(f"{W}styleId", "")): style
            for style in document.styles.element.iterchildren(f"{W}style")
        }
        self._known: dict[str, tuple[int, bool]] = {}

    def of(self, style_id: str) -> tuple[int, bool]:
        """Heading level (0 for none), and whether it is a list's item."""
        if style_id not in self._known:
            self._known[style_id] = self._look_up(style_id)
        return self._known[style_id]

    def _look_up(self, style_id: str) -> tuple[int, bool]:
        level, item, seen = 0, False, {style_id}
        style = self._styles.get(style_id)
        while style is not None:
            level = level or _named_level(style)
            item = item or style.find(f"{W}pPr/{W}numPr") is not None
            parent = style.find(f"{W}basedOn")
            style_id = "" if parent is None else str(parent.get(f"{W}val", ""))
            style = None if style_id in seen else self._styles.get(style_id)
            seen.add(style_id)
        return level, item


def level_of(outline: Any) -> int:
    """The heading level of an outlineLvl: Word counts from 0, and 9 is body text."""
    value = str(outline.get(f"{W}val", "9"))
    return int(value) + 1 if value in set("012345678") else 0


def _named_level(style: Any) -> int:
    name = style.find(f"{W}name")
    label = "" if name is None else str(name.get(f"{W}val", "")).lower()
    match = _HEADING.match(label)
    if match:
        return int(match[1])
    outline = style.find(f"{W}pPr/{W}outlineLvl")
    return 1 if label == "title" else 0 if outline is None else level_of(outline)
