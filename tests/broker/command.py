"""Owns the stock `dramatiq` command as a child of a test, and what its actors noted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

APPS = Path(__file__).parent / "apps"


class Note(NamedTuple):
    word: str
    job: str
    attempt: int
    pid: int
    at: float


class Command:
    """`dramatiq crash_app`, or another application, in a process group of its own."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *options: str,
        app: str = "crash_app",
    ) -> None:
        self.notes_path = folder / "notes"
        self.log_path = folder / "dramatiq.log"
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        self._argv = [sys.executable, "-m", "dramatiq", app, "--path", str(APPS), *options]
        self._environment = {
            **os.environ,
            **environment,
            "NOTES": str(self.notes_path),
            "PATH": path,
        }
        self._folder = folder
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def keep_alive(self) -> None:
        """Start it again if it ended: the command ends as a whole with the first process that dies."""
        if self.process.poll() is not None:
            self.kill()
            self.process = self._start()

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def notes(self) -> list[Note]:
        if not self.notes_path.exists():
            return []
        found = []
        for line in self.notes_path.read_text().splitlines():
            word, job, attempt, pid, at = line.split()
            found.append(Note(word, job, int(attempt), int(pid), float(at)))
        return found

    def busy(self) -> bool:
        """Whether a job that has begun in a process that lives has not noted its end."""
        notes = self.notes()
        ended = {(note.job, note.attempt) for note in notes if note.word == "end"}
        begun = {note.pid for note in notes if (note.job, note.attempt) not in ended}
        return any(Path(f"/proc/{pid}").exists() for pid in begun)

    def log(self) -> str:
        return self.log_path.read_text()
