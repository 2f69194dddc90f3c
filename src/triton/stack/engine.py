"""Owns what the three embedded engines have in common: their shape, and waiting until one answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from triton.errors import StartupError
from triton.stack.processes import Child

#: Seconds that an engine may take to answer; recovery after a crash reads its whole log first.
START_SECONDS = 120.0
#: Seconds that an engine gets to write down what it holds, within the whole stop's limit.
ENGINE_GRACE = 8.0
POLL_SECONDS = 0.02


class Engine(Protocol):
    """One engine below the data folder. `launch` and `wait` apart let several start side by side."""

    name: str

    @property
    def url(self) -> str:
        """Where it answers; known after `launch`."""

    def launch(self) -> None:
        """Begins to start it. Raises StartupError."""

    def wait(self) -> None:
        """Returns when it answers. Raises StartupError when it ended or never did."""

    def start(self) -> None:
        """`launch` and `wait`."""

    def stop(self) -> None:
        """Ends it cleanly; nothing happens when it does not run."""

    def alive(self) -> bool:
        """Whether it answers right now; never raises."""


def package_folder(package: str, variable: str) -> Path:
    """The folder of an installed wheel, without importing it.

    Raises StartupError when it is missing; `variable` is the setting that replaces the engine.
    """
    found = find_spec(package)
    if found is None or found.origin is None:
        raise StartupError(
            f"the package {package} is not installed: install triton-jobs[embedded],"
            f" or set {variable} to a server of your own"
        )
    return Path(found.origin).parent


def await_answer(child: Child, answers: Callable[[], bool], *, timeout: float) -> None:
    """Polls until the child answers. Raises StartupError with its last words when it ends."""
    deadline = time.monotonic() + timeout
    while not answers():
        if (status := child.status) is not None:
            raise StartupError(
                f"{child.spec.name} ended with status {status} while it started"
                f" ({child.last_words()}); its log is {child.log}"
            )
        if time.monotonic() >= deadline:
            raise StartupError(
                f"{child.spec.name} did not answer within {timeout:.0f} s; its log is {child.log}"
            )
        time.sleep(POLL_SECONDS)
