"""The pages about the HTTP API name every route and every error code that there is."""

from __future__ import annotations

import re
from pathlib import Path

from triton.api.problems import STATUS
from whole_api import whole_api

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = (REFERENCE / "http.md").read_text()
ERRORS = (REFERENCE / "errors.md").read_text()


def test_every_route_is_named() -> None:
    paths = whole_api().openapi()["paths"]
    routes = {
        f"{method.upper()} {re.sub('{[a-z]+_id}', '{id}', path)}"
        for path, methods in paths.items()
        for method in methods
    } - {"GET /"}

    assert [route for route in sorted(routes) if f"`{route}`" not in PAGE] == []


def test_every_error_code_stands_with_its_status() -> None:
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*?) \|", ERRORS, flags=re.MULTILINE))

    for code, status in STATUS.items():
        assert f"`{code}`" in rows[str(status)], code
