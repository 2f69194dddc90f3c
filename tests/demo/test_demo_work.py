"""Tries what the demo says while nothing happens: what it waits for, by name."""

from __future__ import annotations

from pathlib import Path

from triton.cli.live import LiveJob
from triton.demo.work import Run, awaited


def run(name: str, state: str = "", *, problem: str = "") -> Run:
    ended = state in ("completed", "failed")
    job = LiveJob(name, state=state, ended=ended) if state else None
    return Run(Path(name), name, job=job, problem=problem)


def test_a_quiet_demo_names_what_it_waits_for() -> None:
    ended = [run("a.pdf", "completed"), run("b.pdf", "failed"), run("c.pdf", problem="no file")]
    waiting = [run(f"{number}.md", "pending") for number in range(5)]
    uploading = [run("large.txt")]
    working = [run("huge.pdf", "processing")]
    assert awaited([*ended, *uploading]) == "still on the way to the archive: large.txt"
    said = "no job runs, and there wait: 0.md, 1.md, 2.md and 2 more; does a worker run?"
    assert awaited([*ended, *uploading, *waiting]) == said
    assert awaited([*ended, *uploading, *waiting, *working]) == "still in work: huge.pdf"
