"""Owns reading the documents: fenced blocks, code in the text, links and the anchors of headings."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "clients/js/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
)
#: What the code makes of itself is looked at where it is made.
GENERATED = {ROOT / "docs/reference" / name for name in ("cli.md", "events.md", "routes.md")}

_FENCE = re.compile(r"^( *)```([a-z]*)[ \t]*(.*)$")


class Fence(NamedTuple):
    """A block between two lines of backticks; `marks` is what stands behind its language."""

    page: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def _split(page: Path) -> tuple[str, tuple[Fence, ...]]:
    """The text without blocks, line for line, and the blocks."""
    text: list[str] = []
    found: list[Fence] = []
    opened: tuple[str, int, str, str] | None = None
    block: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if opened is None:
            if match := _FENCE.match(line):
                opened = (match[1], number, match[2], match[3])
            text.append("" if opened else line)
            continue
        text.append("")
        indent, began, language, marks = opened
        if line.strip() == "```":
            found.append(Fence(page, began, language, tuple(marks.split()), "\n".join(block)))
            opened, block = None, []
        else:
            block.append(line.removeprefix(indent))
    assert opened is None, f"{page}: the block of line {opened} has no end"
    return "\n".join(text), tuple(found)


def fences(page: Path) -> tuple[Fence, ...]:
    return _split(page)[1]


def prose(page: Path) -> str:
    return _split(page)[0]


def spans(page: Path) -> list[tuple[int, str]]:
    """Code in the text, with its line."""
    text = prose(page)
    return [
        (text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
        for match in re.finditer(r"`([^`]+)`", text)
    ]


def links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each link that stays in the tree; an empty path is the page itself."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", prose(page))
    return [(path, anchor) for path, anchor in found if "://" not in path]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What GitHub makes of the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(page), flags=re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return frozenset(found)
