"""Owns loading the SQL of the API: one statement per file in `triton/api/sql`.

A line `--@include name` stands for another file, as in the Lua scripts.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Final

_INCLUDE: Final = re.compile(r"^--@include (\w+)$", re.MULTILINE)


@cache
def sql(name: str) -> str:
    return _INCLUDE.sub(lambda found: _file(found[1]), _file(name))


def _file(name: str) -> str:
    return resources.files("triton.api").joinpath(f"sql/{name}.sql").read_text()
