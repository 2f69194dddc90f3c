"""The page /live in a real Chromium: its API is killed and comes back, and it misses and doubles nothing."""

from __future__ import annotations

import msgspec
from api_process import process
from chromium import Browser
from live_api import Hand

from ports import free_port
from triton.settings import Settings


def test_the_page_tells_exactly_the_log(
    browser: Browser, module_settings: Settings, hand: Hand
) -> None:
    settings = msgspec.structs.replace(module_settings, port=free_port())
    troubles: list[str] = []
    page = browser.new_page(bypass_csp=True)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    is_live = "document.getElementById('link').dataset.is === 'live'"
    expected: list[str] = []

    def life(percent: int) -> None:
        job = hand.submit(actor="shown")
        hand.start(job)
        hand.progress(job, percent, "half of it")
        hand.output(job, "<b>words</b>")
        hand.complete(job)
        expected.extend(f"{job}/{version}" for version in range(1, 6))

    def told(count: int) -> list[str]:
        page.wait_for_function(f"window.told.length >= {count}", timeout=60_000)
        found: list[str] = page.evaluate("window.told")
        return found

    with process(settings) as (child, url):
        page.goto(f"{url}/live")
        page.wait_for_function(is_live)
        life(50)
        assert told(5) == expected
        page.click("#cut")
        life(60)
        assert told(10) == expected
        child.kill()
        child.wait()
        page.wait_for_function("document.getElementById('link').dataset.is === 'waiting'")
        life(70)
    with process(settings):
        life(80)
        page.wait_for_function(is_live, timeout=60_000)
        assert told(20) == expected
        page.reload()
        page.wait_for_function(is_live)
        life(90)
        assert told(5) == expected[-5:], "a reload goes on where the page was"
    state = "document.querySelector('#jobs tr:first-child td:nth-child(3)').innerText"
    page.wait_for_function(f"{state} === 'completed'")
    assert troubles == []
