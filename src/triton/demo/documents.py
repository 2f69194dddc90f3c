"""Owns the demo's documents: the project's Markdown as PDF, DOCX, HTML and as it is.

The same sources give the same bytes, so that a second demo stores nothing new in the archive.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import msgspec
from markdown_it import MarkdownIt

from triton.demo import docx_writer, pdf_writer
from triton.errors import ConfigurationError
from triton.extraction import Limits, markdown
from triton.extraction.blocks import Block
from triton.extraction.budget import Budget

#: The document that holds all others, one after the other: long enough to watch its progress.
HANDBOOK = "handbook"


class Chapter(msgspec.Struct, frozen=True):
    """One Markdown file: the stem of its name, its title, its text and what the text consists of."""

    stem: str
    title: str
    text: str
    blocks: tuple[Block, ...]


def make_documents(source_dirs: Sequence[Path], out_dir: Path) -> list[Path]:
    """Writes the documents into `out_dir`, which is created, and answers their paths in order.

    Sources are the files `*.md` right in `source_dirs`, and `LICENSE` as a plain text. Raises
    ConfigurationError when there is no Markdown file, or `out_dir` cannot be written.
    """
    chapters = [_chapter(path) for path in _sources(source_dirs)]
    if not chapters:
        raise ConfigurationError(
            f"There is no Markdown file in {', '.join(map(str, source_dirs)) or 'no folder'}; "
            "name documents or folders on the command line.",
        )
    licenses = (folder / "LICENSE" for folder in source_dirs)
    license_file = next((path for path in licenses if path.is_file()), None)
    contents: dict[str, bytes] = {}
    for chapter in chapters:
        contents[f"{chapter.stem}.pdf"] = pdf_writer.pdf(chapter.title, chapter.blocks)
        contents[f"{chapter.stem}.docx"] = docx_writer.docx(chapter.title, chapter.blocks)
        contents[f"{chapter.stem}.html"] = _html(chapter)
        contents[f"{chapter.stem}.md"] = chapter.text.encode()
    everything = [block for chapter in chapters for block in chapter.blocks]
    contents[f"{HANDBOOK}.pdf"] = pdf_writer.pdf("Triton: the handbook", everything)
    contents[f"{HANDBOOK}.docx"] = docx_writer.docx("Triton: the handbook", everything)
    if license_file is not None:
        contents["license.txt"] = license_file.read_bytes()
    return _written(contents, out_dir)


def _sources(folders: Iterable[Path]) -> list[Path]:
    """Markdown files by folder and name; of two with one stem the first counts."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.md")):
            if path.stem.lower() != HANDBOOK:
                found.setdefault(path.stem.lower(), path)
    return list(found.values())


def _chapter(path: Path) -> Chapter:
    text, metadata = markdown.front_matter(path.read_text(encoding="utf-8"))
    blocks = tuple(markdown.blocks(text, Budget(Limits(), time.monotonic)))
    headings = (block.text for block in blocks if block.kind == "heading")
    title = metadata.get("title") or next(headings, path.stem)
    return Chapter(path.stem.lower(), title, text, blocks)


def _html(chapter: Chapter) -> bytes:
    body = MarkdownIt("commonmark").enable("table").render(chapter.text)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(chapter.title)}</title></head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def _written(contents: dict[str, bytes], out_dir: Path) -> list[Path]:
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (out_dir / name).write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            f"The demo's documents cannot be written to {out_dir}: {error.strerror}; "
            "choose another data folder."
        ) from error
    return [out_dir / name for name in contents]
