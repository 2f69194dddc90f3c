"""What commands that take long tell a program: JSON lines on stderr, their result alone on stdout."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from typer.testing import CliRunner

from eventually import eventually
from triton.cli import output
from triton.cli import telling as module
from triton.cli.app import app
from triton.cli.telling import takes_long, telling


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_fails_is_one_line_for_a_program(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    done = CliRunner().invoke(app, ["backup", "check", missing], env={"TRITON_LOG_FORMAT": "json"})
    began, failed = lines(done.stderr)
    assert done.exit_code != 0
    assert done.stdout == ""
    assert (began["event"], began["command"], began["role"]) == (
        "command_began",
        "backup check",
        "command",
    )
    assert (failed["event"], failed["level"]) == ("command_failed", "error")
    assert failed["status"] == done.exit_code
    assert missing in failed["error"]

    spoken = CliRunner().invoke(app, ["backup", "check", missing], env={"TRITON_LOG_FORMAT": ""})
    assert spoken.exit_code == 2, "an empty format is none that there is"
    plain = CliRunner().invoke(app, ["backup", "check", missing], env={"TRITON_LOG_FORMAT": "auto"})
    assert plain.stderr.startswith("error: ")


def test_how_far_it_is_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its notes and warnings, and the status that it ends with."""
    monkeypatch.setenv("TRITON_LOG_FORMAT", "json")
    monkeypatch.setattr(module, "EVERY", 0.01)
    said = ""

    def went_on() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "command_goes_on" in said

    @takes_long("count")
    def count() -> None:
        telling.reached(done=3, total=4)
        eventually(went_on)
        output.note("nearly there")
        output.warn("one is missing")
        raise typer.Exit(1)

    with pytest.raises(typer.Exit):
        count()
    found = lines(said + capsys.readouterr().err)
    went = next(one for one in found if one["event"] == "command_goes_on")
    assert (went["command"], went["done"], went["total"]) == ("count", 3, 4)
    assert ("info", "nearly there") in [(one["level"], one.get("text")) for one in found]
    assert ("warning", "one is missing") in [(one["level"], one.get("text")) for one in found]
    assert (found[-1]["event"], found[-1]["status"]) == ("command_ended", 1)
    assert not telling.on
