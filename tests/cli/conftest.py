"""Owns the fixtures of the command line's tests: one running stack, and ways to run commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Commands, Invoke, Up, passable
from typer.testing import CliRunner, Result

from triton.cli.app import app


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the repository as its working directory, or settings of the person who runs it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRITON_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Of the stack and its logs."""
    with passable("triton-cli-") as made:
        yield made


@pytest.fixture(scope="session")
def up(folder: Path) -> Iterator[Up]:
    """The one stack of all tests here."""
    started = Up(folder / "shared")
    try:
        started.running()
        yield started
    finally:
        started.end()


@pytest.fixture
def invoke() -> Invoke:
    """Runs a command in this process; answers its result, with stdout and stderr apart."""

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(app, list(arguments), prog_name="triton", **options)

    return run


@pytest.fixture
def commands(invoke: Invoke, up: Up) -> Commands:
    return Commands(invoke, up.data)
