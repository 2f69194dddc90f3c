"""Owns Markdown, parsed with markdown-it-py: CommonMark, tables, and flat front matter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from markdown_it import MarkdownIt
from markdown_it.token import Token

import triton
from triton.extraction import html
from triton.extraction.blocks import Block, heading, paginate, table
from triton.extraction.budget import Budget
from triton.extraction.document import Document
from triton.extraction.model import Kind
from triton.extraction.source import Source
from triton.extraction.text import decode

#: Characters of one paragraph up to which marks inside are taken out; beyond, parsing gets slow.
MAX_INLINE_CHARACTERS = 50_000

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.{0,10000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"^([A-Za-z][\w-]{0,39}):[ \t]+(\S.*)$", re.MULTILINE)
_KEPT = ("title", "author", "created", "subject", "description", "keywords", "language")


def parser() -> MarkdownIt:
    """CommonMark with tables; inline parsing is left to the caller, block by block."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("inline")


def read(source: Source, budget: Budget) -> Document:
    """Sections of what a reader of the rendered text sees."""
    text, encoding = decode(source.read())
    text, metadata = front_matter(text.replace("\r\n", "\n"))
    pages = list(paginate(blocks(text, budget), sections=True))
    title = metadata.pop("title", "")
    return Document(
        extractor="markdown-it-py",
        version=f"{version('markdown-it-py')}+triton.{triton.__version__}",
        total=len(pages),
        metadata={"paging": "sections", "encoding": encoding, **metadata},
        pages=iter(pages),
        title=title,
    )


def front_matter(text: str) -> tuple[str, dict[str, str]]:
    """The text without its YAML head, and the head's plain `key: value` lines."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return text, {}
    found = {key.lower(): value.strip(" \t\"'") for key, value in _ENTRY.findall(match[1])}
    if not found:
        return text, {}
    if "date" in found:
        found["created"] = found.pop("date")
    return text[match.end() :], {key: found[key] for key in _KEPT if key in found}


def inline_text(md: MarkdownIt, token: Token) -> str:
    """What a reader sees of a paragraph: without marks, with the text of links and pictures."""
    if len(token.content) > MAX_INLINE_CHARACTERS:
        return token.content
    children: list[Token] = []
    md.inline.parse(token.content, md, {}, children)
    return _visible(children)


def rows(md: MarkdownIt, tokens: Iterator[Token]) -> list[list[str]]:
    """The cells' text by row, from after `table_open` up to and with `table_close`."""
    found: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            found.append([])
        elif token.type == "inline":
            found[-1].append(inline_text(md, token))
        elif token.type == "table_close":
            break
    return found


def blocks(text: str, budget: Budget) -> Iterator[Block]:
    """The blocks of a text without front matter."""
    md = parser()
    kinds: list[Kind] = ["paragraph"]
    tokens = iter(md.parse(text))
    for token in tokens:
        budget.check_time()
        if token.type == "heading_open":
            yield heading(inline_text(md, next(tokens)), int(token.tag[1:]))
        elif token.type == "inline":
            yield Block(kinds[-1], inline_text(md, token))
        elif token.type in ("fence", "code_block"):
            yield Block("code", token.content)
        elif token.type == "html_block":
            yield from html.blocks_of(html.parse(token.content.encode(), budget), budget)
        elif token.type == "table_open":
            yield table(rows(md, tokens))
        elif token.type == "list_item_open":
            kinds.append("item")
        elif token.type == "list_item_close":
            kinds.pop()


def _visible(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif token.type == "image":
            parts.append(_visible(token.children or ()))
        elif token.type in ("text", "code_inline", "text_special"):
            parts.append(token.content)
    return "".join(parts)
