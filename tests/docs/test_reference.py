"""The reference pages say what the code says."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_generated_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting or an event that changes without its page fails here."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    pages = importlib.import_module("reference").PAGES
    reference = ROOT / "docs/reference"

    stale = [name for name, page in pages.items() if (reference / name).read_text() != page()]

    assert stale == [], "run python tools/reference.py"


def test_every_option_of_a_command_says_what_it_is_for() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()

    assert [line for line in page.splitlines() if line.endswith("|  |")] == []
