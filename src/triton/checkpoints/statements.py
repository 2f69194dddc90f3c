"""Owns the SQL files beside this module: one statement each, loaded by name."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def sql(name: str) -> bytes:
    """The statement in `sql/<name>.sql`; its head comment names its parameters."""
    return resources.files("triton.checkpoints").joinpath(f"sql/{name}.sql").read_bytes()
