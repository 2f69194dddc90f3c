"""Owns what the tests of the stack share: a folder that any user may enter, and being another user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import triton

NOBODY = 65534
Run = Callable[[str, Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests work on folders: none of them may find the repository as its working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data() -> Iterator[Path]:
    """A path for a data folder; nothing is there yet, and everybody may pass through its parent."""
    parent = Path(tempfile.mkdtemp(prefix="triton-test-"))
    parent.chmod(0o755)
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def environment() -> dict[str, str]:
    """For a Python of another user: our sources and packages, and no coverage files."""
    packages = [str(Path(triton.__file__).parents[1]), *(p for p in sys.path if "packages" in p)]
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture
def run_as_nobody() -> Run:
    """Runs Python code as an ordinary user: nobody when we are root, ourselves otherwise.

    The code gets the path as `sys.argv[1]`.
    """
    for prefix, identity in _ways_to_be_ordinary():
        command = [*prefix, sys.executable, "-c"]
        options = {"capture_output": True, "text": True, "cwd": "/", "env": environment()}
        try:
            subprocess.run(
                [*command, "import triton.stack.engines"], check=True, **options, **identity
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        break
    else:
        pytest.skip("no ordinary user can run this Python, and setpriv is missing")

    def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, code, str(path)], check=False, timeout=200, **options, **identity
        )

    return run


def _ways_to_be_ordinary() -> list[tuple[list[str], dict[str, Any]]]:
    if os.geteuid() != 0:
        return [([], {})]
    # The second may read root's private folders, where this Python may live; it may not write.
    reading = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    reading += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return [
        ([], {"user": NOBODY, "group": NOBODY, "extra_groups": []}),
        (reading, {}),
    ]
