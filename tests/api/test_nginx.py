"""nginx with the very lines of the guide: a browser's EventSource outlives an API that was killed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from api_process import process
from chromium import Browser
from live_api import Hand, LiveApi

from eventually import eventually
from ports import free_port
from triton.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "behind-a-proxy.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx")

FOLLOW = """url => {
    window.told = [];
    window.opened = 0;
    const source = new EventSource(url);
    source.onopen = () => { window.opened += 1; };
    source.onmessage = (event) => window.told.push(JSON.parse(event.data).id);
}"""


@contextmanager
def nginx(folder: Path, api: int) -> Iterator[str]:
    """The proxy's URL."""
    locations, log = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(), re.S)
    port = free_port()
    places = "\n".join(
        f"{name}_temp_path {folder};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 256; }}
        http {{
            {log} access_log {folder}/access.log without_query; {places}
            upstream triton {{ server 127.0.0.1:{api}; }}
            server {{ listen 127.0.0.1:{port}; {locations} }}
        }}
        """
    )
    child = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=60)


def test_a_browser_behind_nginx_outlives_an_api_that_was_killed(
    browser: Browser, module_settings: Settings, hand: Hand, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(module_settings, port=free_port())
    expected: list[str] = []

    def life() -> None:
        job = hand.run(hand.submit())
        expected.extend(f"{job}/{version}" for version in range(1, 5))

    page = browser.new_page(bypass_csp=True)
    with nginx(tmp_path, settings.port) as url:
        with process(settings) as (child, _):
            with httpx.Client(base_url=url, timeout=30) as http:
                eventually(lambda: _answers(http))
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
        with process(settings):
            life()
            page.wait_for_function("window.told.length >= 12", timeout=60_000)
            life()
            page.wait_for_function("window.told.length >= 16")
            assert page.evaluate("window.told") == expected


def test_each_client_behind_nginx_counts_for_itself_and_no_token_is_logged(
    module_settings: Settings, hand: Hand, tmp_path: Path
) -> None:
    """Without X-Forwarded-For from the lines for streams, every client would count as the proxy."""
    settings = msgspec.structs.replace(module_settings, streams_per_address=1)
    job, token = hand.submit(), "trs_not.a.token"
    with (
        LiveApi(settings) as api,
        nginx(tmp_path, api.listener.getsockname()[1]) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        path = f"/api/v1/jobs/{job}/subscribe"
        eventually(lambda: _answers(http))
        count = api.services.admission.count
        with http.stream("GET", path, headers={"X-Forwarded-For": "192.0.2.7"}) as one:
            with http.stream("GET", path) as other:
                assert (one.status_code, other.status_code) == (200, 200)
                assert (count("address", "192.0.2.7"), count("address", "127.0.0.1")) == (1, 1)
            again = http.get(path, headers={"X-Forwarded-For": "192.0.2.7"})
            assert (again.status_code, again.json()["details"]["of"]) == (429, "address")
        assert http.get(path, params={"token": token}).status_code == 401
        logged = tmp_path / "access.log"
        eventually(lambda: f'{path}" 401' in logged.read_text())
        assert token not in logged.read_text()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code == 200
    except httpx.TransportError:
        return False
