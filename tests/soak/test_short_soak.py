"""Runs a short soak: half a minute of everything that `make soak` does for ten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from soak.tail import cut

from eventually import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path for what a soak leaves when it is killed."""
    with tempfile.TemporaryDirectory(prefix="ts", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def soak(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "soak", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.timeout(300)
def test_nothing_is_lost_whatever_is_hurt(temporary: Path) -> None:
    running = soak(temporary, "--seconds", "30", "--cuts", "2")
    try:
        said, _ = running.communicate(timeout=270)
    finally:
        running.terminate()
    print(said)  # the seed and the tables, where it fails
    assert running.returncode == 0, said
    assert "nothing lost: every rule holds" in said


def test_a_soak_that_is_killed_leaves_nothing_running(temporary: Path) -> None:
    running = soak(temporary, "--seconds", "60")
    assert running.stdout is not None
    for line in running.stdout:
        if "s of load" in line:
            break
    below = _descendants(running.pid)
    assert len(below) > 8, "engines, roles and load run"
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    eventually(lambda: not [pid for pid in below if _alive(pid)], timeout=60, interval=0.1)


def test_the_log_that_is_adopted_lost_an_event_at_least(tmp_path: Path) -> None:
    """What workers said since the last one made the cut of a calm soak lose nothing that could be named."""
    whole = b"*3\r\n$4\r\nXADD\r\n$1\r\na\r\n" * 9 + b"*1\r\n$4\r\nPING\r\n" * 20
    for seed in range(50):
        (tmp_path / "log.1.incr.aof").write_bytes(whole)
        lost = cut(tmp_path, Random(seed), event=True)
        left = (tmp_path / "log.1.incr.aof").read_bytes()
        assert left == whole[: len(whole) - lost]
        assert left.count(b"\r\nXADD\r\n") < 9, seed


def _descendants(parent: int) -> list[int]:
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int(
                    (path / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    found, rest = [], [parent]
    while rest:
        one = rest.pop()
        below = [pid for pid, its in parents.items() if its == one]
        found += below
        rest += below
    return found


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
