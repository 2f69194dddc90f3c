"""Owns what keeps a kill -9 of the supervisor from leaving anything behind.

Three nets, because each has a hole. Every child leads a process group of its own, so that what it
forks is reached with it. On Linux the kernel signals the child when its parent dies
(PR_SET_PDEATHSIG: immediate, but it follows the spawning thread, stops at the direct child and may be
ignored). And one watchdog process (`watchdog.py`) ends the groups that are still there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
#: Seconds between the watchdog's stop signal and its SIGKILL.
WATCHDOG_GRACE = 8.0
#: Seconds that the watchdog gets to go by itself, which takes it none: one that was stopped never would.
CLOSE_SECONDS = 1.0


class Watchdog:
    """The supervisor's end of the pipe to its watchdog process, started with the first child."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: dict[int, int] = {}

    def add(self, group: int, stop_signal: int) -> None:
        """From now on the group ends with the supervisor."""
        self._groups[group] = stop_signal
        self._tell(f"+{group} {stop_signal}")

    def remove(self, group: int) -> None:
        """The group is gone; its number may come back as somebody else's."""
        self._groups.pop(group, None)
        self._tell(f"-{group}")

    def ensure(self) -> None:
        """Starts the process, also after somebody killed it."""
        if self._process is not None and self._process.poll() is None:
            return
        script = Path(__file__).with_name("watchdog.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(WATCHDOG_GRACE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        for group, stop_signal in self._groups.items():
            self._tell(f"+{group} {stop_signal}")

    def close(self) -> None:
        """Lets it go; call it when no child is left."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), line.encode() + b"\n")


def signal_group(group: int, number: int) -> None:
    """Signals a process group; nothing happens when nobody is left in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def death_signal(number: int) -> Callable[[], None] | None:
    """What a child runs between fork and exec, after the change of user (which would clear it).

    None where the kernel cannot do it, or off the main thread, whose end would count as a death.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not sys.platform.startswith("linux") or not on_main_thread:
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask
