"""Owns driving the process of a trial: its start, a limit for each job, what its death means."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

import triton
from triton.retroactive.account import Account, Ready, Setup, Task
from triton.retroactive.frames import read_frame, write_frame

#: Variables of the environment that every program needs; an application's own are named by the user.
PASSED: Final = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}
)
#: Seconds that an import may take.
IMPORT_LIMIT: Final = 60.0


class TrialError(Exception):
    """The handler cannot be tried; one sentence says why."""


class Trial:
    """Processes that run one handler, one after the other where one dies. Use it as a context.

    `environment` is what the process sees besides PASSED names of `inherited`. `limit` is seconds per job.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        limit: float,
        inherited: Mapping[str, str],
        environment: Mapping[str, str],
        output: int = subprocess.DEVNULL,
    ) -> None:
        self._setup = setup
        self._limit = limit
        self._environment = {
            **{
                name: value
                for name, value in inherited.items()
                if name in PASSED or name.startswith("LC_")
            },
            **environment,
        }
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._to = self._from = -1
        self._scratch: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def begin(self) -> Ready:
        """Start the process and import the handler. Raises TrialError."""
        self._start()
        raw = self._ask(msgspec.msgpack.encode(self._setup), IMPORT_LIMIT)
        where = f"{self._setup.module}:{self._setup.actor}"
        if raw is None:
            raise TrialError(f"{where} {self._died('cannot be imported', IMPORT_LIMIT)}")
        ready = msgspec.msgpack.decode(raw, type=Ready)
        if ready.problem:
            self._end()
            raise TrialError(f"{where} cannot be imported: {ready.problem}")
        return ready

    def run(self, task: Task) -> Account:
        """What the handler makes of a task. Raises TrialError where a new process cannot begin."""
        if self._process is None:
            self.begin()
        begun = time.perf_counter()
        raw = self._ask(msgspec.msgpack.encode(task), self._limit)
        if raw is not None:
            return msgspec.msgpack.decode(raw, type=Account)
        hung = self._process is not None and self._process.poll() is None and not self._gone
        said = self._died("did not come to an end", self._limit)
        return Account(
            state="hung" if hung else "crashed",
            message=f"the handler {said}",
            seconds=time.perf_counter() - begun,
        )

    def _start(self) -> None:
        self._end()
        self._scratch = Path(tempfile.mkdtemp(prefix="triton-trial-"))
        child_in, self._to = os.pipe()
        self._from, child_out = os.pipe()
        root = str(Path(triton.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (root, self._environment.get("PYTHONPATH", ""))))
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "triton.retroactive.child",
                    str(child_in),
                    str(child_out),
                    str(self._scratch),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(child_in, child_out),
                env={
                    **self._environment,
                    "PYTHONPATH": path,
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "TMPDIR": str(self._scratch),
                },
                # A handler that signals its group reaches nobody else.
                start_new_session=True,
            )
        finally:
            os.close(child_in)
            os.close(child_out)

    def _ask(self, message: bytes, limit: float) -> bytes | None:
        """The answer; None where the process ended or took too long."""
        self._gone = False
        try:
            write_frame(self._to, message)
            ready, _, _ = select.select([self._from], [], [], limit)
            if not ready:
                return None
            # Its first bytes are there: the others follow, unless the process dies meanwhile.
            answer = read_frame(self._from)
        except OSError:
            answer = None
        self._gone = answer is None
        return answer

    def _died(self, hung: str, limit: float) -> str:
        """One sentence on a process that did not answer, which is ended by that."""
        process = self._process
        if process is not None and self._gone:
            try:
                status: int | None = process.wait(5)
            except subprocess.TimeoutExpired:
                status = None
            self._end()
            return f"ended its process{_by(status)}"
        self._end()
        return f"{hung} within {limit:g} s, and was ended"

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                process.kill()
            process.wait()
        for fd in (self._to, self._from):
            if fd >= 0:
                os.close(fd)
        self._to = self._from = -1
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    _gone: bool = False


def _by(status: int | None) -> str:
    if status is None:
        return ""
    if status < 0:
        return f" by signal {_name(-status)}"
    return f" with exit status {status}"


def _name(number: int) -> Any:
    try:
        return signal.Signals(number).name
    except ValueError:
        return number
