"""Owns loading the SQL of the API: one statement per file in `triton/api/sql`."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def sql(name: str) -> str:
    return resources.files("triton.api").joinpath(f"sql/{name}.sql").read_text()
