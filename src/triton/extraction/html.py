"""Owns HTML, parsed with beautifulsoup4 over lxml: blocks in reading order, tables, title and meta."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import version

import bs4
from bs4 import XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

import triton
from triton.extraction import errors
from triton.extraction.blocks import Block, heading, one_line, paginate, table
from triton.extraction.budget import Budget
from triton.extraction.document import Document
from triton.extraction.model import Kind
from triton.extraction.source import Source

#: Open elements beyond which a table is only a container: looking into each gets quadratic.
MAX_TABLE_DEPTH = 100

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_IGNORED = re.compile(
    "script|style|template|noscript|head|svg|math|iframe|object|canvas|audio|video|select"
)
_INLINE = re.compile(
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|img|ins|kbd|label|mark|nobr|output|q|"
    "rp|rt|ruby|s|samp|small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
)
_SPACES = re.compile(r"\s+")
_META = frozenset(("author", "description", "keywords", "generator", "date", "dcterms.created"))


def read(source: Source, budget: Budget) -> Document:
    """Sections of the page's text. Raises `document_too_large` before the tree would get too big."""
    soup = parse(source.read(), budget)
    pages = list(paginate(blocks_of(soup, budget), sections=True))
    metadata = {
        "paging": "sections",
        "encoding": str(soup.original_encoding or ""),
        **_metadata(soup),
    }
    title = soup.find("title")
    return Document(
        extractor="beautifulsoup4",
        version=f"{bs4.__version__}+lxml.{version('lxml')}+triton.{triton.__version__}",
        total=len(pages),
        metadata=metadata,
        pages=iter(pages),
        title=one_line(title.get_text()) if isinstance(title, Tag) else "",
    )


def parse(markup: bytes, budget: Budget) -> bs4.BeautifulSoup:
    tags = markup.count(b"<")
    if tags > budget.limits.max_tags:
        raise errors.too_large(
            f"The HTML has about {tags} tags and {budget.limits.max_tags} are allowed; split the page.",
            tags=tags,
        )
    # XHTML is welcome here; the note about a second parser is for programmers.
    warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)
    return bs4.BeautifulSoup(io.BytesIO(markup), "lxml")


def blocks_of(root: Tag, budget: Budget) -> Iterator[Block]:
    """The blocks below an element, in reading order."""
    return _Walk(budget).blocks(root)


class _Walk:
    """Depth first without recursion. Inline text gathers until a block begins or ends."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._text: list[str] = []
        #: What gathered text becomes, by the open block elements from outside to inside.
        self._kinds: list[tuple[Kind, int]] = [("paragraph", 0)]
        self._stack: list[tuple[Iterator[PageElement], bool]] = []

    def blocks(self, root: Tag) -> Iterator[Block]:
        self._stack.append((iter(root.contents), False))
        while self._stack:
            children, is_block = self._stack[-1]
            node = next(children, None)
            if node is None:
                self._stack.pop()
                if is_block:
                    yield from self._flush()
                    self._kinds.pop()
            elif isinstance(node, Tag):
                yield from self._tag(node)
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                verbatim = self._kinds[-1][0] == "code"
                self._text.append(str(node) if verbatim else _SPACES.sub(" ", node))
        yield from self._flush()

    def _tag(self, tag: Tag) -> Iterator[Block]:
        if _IGNORED.fullmatch(tag.name):
            return
        if tag.name == "br":
            self._text.append("\n")
        elif _INLINE.fullmatch(tag.name):
            self._stack.append((iter(tag.contents), False))
        else:
            self._budget.check_time()
            yield from self._flush()
            if tag.name == "table" and len(self._stack) < MAX_TABLE_DEPTH and _is_data(tag):
                yield table(_rows(tag))
            else:
                self._kinds.append(_kind(tag, self._kinds[-1]))
                self._stack.append((iter(tag.contents), True))

    def _flush(self) -> Iterator[Block]:
        kind, level = self._kinds[-1]
        text = "".join(self._text)
        self._text.clear()
        if not text.strip():
            return
        if kind == "heading":
            yield heading(text, level)
        elif kind == "code":
            yield Block(kind, text)
        else:
            lines = (" ".join(line.split()) for line in text.split("\n"))
            yield Block(kind, "\n".join(line for line in lines if line))


def _kind(tag: Tag, outer: tuple[Kind, int]) -> tuple[Kind, int]:
    if tag.name in _HEADINGS:
        return "heading", _HEADINGS[tag.name]
    if tag.name in ("pre", "textarea", "listing", "xmp"):
        return "code", 0
    if tag.name in ("li", "dt", "dd"):
        return "item", 0
    return outer


def _is_data(tag: Tag) -> bool:
    """Not a table that lays out the page: those hold headings or tables of their own."""
    return tag.find(["table", *_HEADINGS]) is None


def _rows(tag: Tag) -> list[list[str]]:
    return [
        [cell.get_text(" ", strip=True) for cell in row.find_all(["td", "th"])]
        for row in tag.find_all("tr")
    ]


def _metadata(soup: bs4.BeautifulSoup) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in soup.find_all("meta", limit=200):
        name = str(tag.get("name", "")).lower()
        content = str(tag.get("content", ""))
        if name in _META and content:
            found.setdefault("created" if name in ("date", "dcterms.created") else name, content)
    root = soup.find("html")
    if isinstance(root, Tag) and root.get("lang"):
        found["language"] = str(root["lang"])
    return found
