"""Caddy with the lines of the guide: a browser outlives an API that was killed, and no token is logged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api_process import process
from chromium import Browser
from live_api import Hand
from test_nginx import FOLLOW, GUIDE

from eventually import eventually
from ports import free_port
from triton.settings import Settings

CADDY = shutil.which("caddy")
pytestmark = pytest.mark.skipif(CADDY is None, reason="needs Caddy")


@contextmanager
def caddy(folder: Path, api: int) -> Iterator[str]:
    """The proxy's URL."""
    site, log = re.findall(r"```caddy\n(.*?)```", GUIDE.read_text(), re.S)
    port = free_port()
    site = site.replace("127.0.0.1:8000", f"127.0.0.1:{api}")
    log = log.replace("log {", f"log {{ \noutput file {folder}/access.log", 1)
    (folder / "Caddyfile").write_text(
        f"{{\nadmin off\nauto_https off\n}}\nhttp://127.0.0.1:{port} {{\n{site}\n{log}\n}}\n"
    )
    command = [str(CADDY), "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
    home = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    child = subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=60)


def test_a_browser_behind_caddy_outlives_an_api_that_was_killed(
    browser: Browser, module_settings: Settings, hand: Hand, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(module_settings, port=free_port())
    expected: list[str] = []

    def life() -> None:
        job = hand.run(hand.submit())
        expected.extend(f"{job}/{version}" for version in range(1, 5))

    def answers(url: str) -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=30, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    page: Any = browser.new_page(bypass_csp=True)
    with caddy(tmp_path, settings.port) as url:
        with process(settings) as (child, _):
            eventually(lambda: answers(url))
            refused = httpx.get(
                f"{url}/api/v1/events/subscribe?token=trs_not.a.token&from=now", timeout=30
            )
            assert refused.status_code == 401
            page.goto(f"{url}/health")
            page.evaluate(FOLLOW, "/api/v1/events/subscribe")
            page.wait_for_function("window.opened === 1")
            life()
            page.wait_for_function("window.told.length >= 4")
            child.kill()
            child.wait()
            life()
            # The proxy answers for the API that is away: a 200, and the stream is open for a moment.
            page.wait_for_function("window.opened >= 2", timeout=60_000)
            plain = httpx.get(f"{url}/api/v1/jobs", timeout=30)
            assert plain.status_code == 502, "only streams are answered for"
        with process(settings):
            life()
            page.wait_for_function("window.told.length >= 12", timeout=60_000)
            life()
            page.wait_for_function("window.told.length >= 16")
            assert page.evaluate("window.told") == expected
    page.close()
    uris = [
        json.loads(line)["request"]["uri"]
        for line in (tmp_path / "access.log").read_text().splitlines()
    ]
    assert "/api/v1/events/subscribe?from=now&token=REDACTED" in uris
    assert not any("trs_" in uri for uri in uris)
