"""Owns packages of npm in a test's own folder, where node and npm are installed and answer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def node_modules(folder: Path, *packages: str) -> Path | None:
    """A folder into which npm installed packages; None where it cannot."""
    if shutil.which("npm") is None:
        return None
    quick = ("--no-audit", "--no-fund", "--silent", "--fetch-retries=0", "--fetch-timeout=15000")
    try:
        subprocess.run(
            ["npm", "install", *quick, *packages],
            cwd=folder,
            check=True,
            timeout=90,
            capture_output=True,
        )
    except (subprocess.SubprocessError, OSError):
        return None
    return folder
