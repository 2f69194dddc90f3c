"""Owns the outbox's SQL: each statement is a file."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def sql(name: str) -> bytes:
    """The text of `sql/<name>.sql`, as bytes because it is no literal."""
    return resources.files("triton.outbox").joinpath(f"sql/{name}.sql").read_bytes()
