"""The page /live in a real Chromium, where the API wants to know who looks at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import MakeKey
from live_api import Hand, LiveApi

from triton.identity.permissions import Role

sys.path.append(str(Path(__file__).parents[1] / "api"))

from chromium import CHROMIUM, QUIET, start


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with start() as engine, engine.chromium.launch(executable_path=CHROMIUM, args=QUIET) as started:
        yield started


def test_the_page_asks_for_a_key_and_keeps_it_out_of_the_address(
    browser: Any, api: LiveApi, hand: Hand, make_key: MakeKey
) -> None:
    is_live = "document.getElementById('link').dataset.is === 'live'"
    page = browser.new_page(bypass_csp=True)
    page.goto(f"{api.url}/live")
    page.wait_for_function("!document.getElementById('who').hidden")
    page.fill("#key", make_key(Role.VIEWER))
    page.press("#key", "Enter")
    page.wait_for_function(is_live)
    hand.submit(actor="seen")
    page.wait_for_function("window.told.length >= 1")

    brought = browser.new_page(bypass_csp=True)
    brought.goto(f"{api.url}/live#key={make_key(Role.VIEWER)}")
    brought.wait_for_function(is_live)
    assert brought.url == f"{api.url}/live"
