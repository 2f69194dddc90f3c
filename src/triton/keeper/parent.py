"""Owns the keeper's process as its worker process sees it: begun once, told that all is well, ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

import triton
from triton.keeper.holds import Holds
from triton.observe.logger import get_logger

#: Seconds until a keeper that ended is begun again.
_PAUSE: Final = 10.0
#: Keepers that wait for the end of this process.
_left_behind: Final[list[subprocess.Popen[bytes]]] = []
_log: Final = get_logger("triton.worker")


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What a keeper must know; it comes through a pipe, because the URL may hold a password."""

    parent: int
    fd: int
    url: str
    namespace: str
    partitions: int
    worker: str
    lease_ms: int
    completed_ttl_ms: int
    failed_ttl_ms: int
    #: Seconds between two beats of the worker.
    interval: float
    #: Its sign of life (see `triton.observe.signs`); empty for none.
    sign: str = ""


class Keeper:
    """Not begun before `start` or the first `beat`. Used by one thread at a time."""

    def __init__(self, holds: Holds, charge: Charge) -> None:
        self._holds = holds
        self._charge = charge
        self._process: subprocess.Popen[bytes] | None = None
        self._next_start = 0.0

    @property
    def started(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Begin the process. Without one the worker works as well, but a job may be stolen from it."""
        self._next_start = time.monotonic() + _PAUSE
        root = str(Path(triton.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "triton.keeper.child"],
                stdin=subprocess.PIPE,
                pass_fds=(self._holds.fd,),
                env={**os.environ, "PYTHONPATH": path},
                # Whoever kills the worker's process group leaves it time to say what the dead held.
                start_new_session=True,
            )
            self._write(msgspec.json.encode(self._charge) + b"\n")
        except OSError as error:
            _log.warning("no_keeper", error=str(error))

    def beat(self) -> None:
        """The worker's interpreter runs."""
        if self._process is None or self._process.poll() is not None:
            if time.monotonic() >= self._next_start:
                self.start()
        else:
            self._write(b".")

    def stop(self) -> None:
        """Nothing is held any more."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            os.write(process.stdin.fileno(), b"q")
            process.stdin.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stay_behind(self) -> bool:
        """Let the keeper release what is still held once this process is gone, and do no more until then.

        False where there is no keeper that could.
        """
        if self._process is None or self._process.poll() is not None:
            return False
        self._write(b"r")
        # Its pipe stays open until this process ends.
        _left_behind.append(self._process)
        self._process = None
        return True

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # A keeper that does not read must not stop the worker; one that ended is begun again.
        with contextlib.suppress(OSError):
            fd = self._process.stdin.fileno()
            os.set_blocking(fd, False)
            os.write(fd, data)
