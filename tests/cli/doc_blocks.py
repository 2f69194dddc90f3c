"""Owns finding what is run of the documents: blocks of shell, and the files that they need."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_RUN = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLAIN = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"^```python run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```python (worker|file)\n# ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: Path) -> str:
    """All blocks `sh run` of a page; empty for none."""
    return "\n".join(_RUN.findall(page.read_text()))


def plain(page: Path) -> str:
    """All blocks of shell of a page that are not marked; empty for none."""
    return "\n".join(_PLAIN.findall(page.read_text()))


def programs(page: Path) -> list[str]:
    """The blocks that are whole programs."""
    return _PROGRAM.findall(page.read_text())


def files(page: Path) -> dict[str, str]:
    """Name and text of the blocks that are files of the reader's."""
    return {name: text for _, name, text in _FILE.findall(page.read_text())}


def actors() -> dict[str, str]:
    """The same of all pages, for those that workers load."""
    return {
        name: text
        for page in sorted(DOCS.glob("**/*.md"))
        for mark, name, text in _FILE.findall(page.read_text())
        if mark == "worker"
    }
