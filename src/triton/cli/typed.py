"""Owns how the person who runs this command types it: `triton` may not be on their PATH."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path


def typed(argument_zero: str, folder: Path) -> str:
    """The command to suggest, for a process that was started as `argument_zero` in `folder`."""
    program = Path(argument_zero)
    if program.name != "triton":
        return "triton" if shutil.which("triton") else "python -m triton"
    found = shutil.which("triton")
    if found is not None and Path(found).resolve() == (folder / program).resolve():
        return "triton"
    path = folder / program
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    return shlex.quote(str(shown))
