"""Owns starting Debian's Chromium for a test, without its calls to other hosts."""

from __future__ import annotations

import shutil
from typing import Final

import pytest

playwright = pytest.importorskip("playwright.sync_api")
Browser = playwright.Browser
start = playwright.sync_playwright
CHROMIUM: Final = shutil.which("chromium")
QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
