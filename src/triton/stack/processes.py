"""Owns the supervision of child processes: spawn, log, restart with backoff, ordered stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from triton.errors import StartupError
from triton.stack.orphans import Watchdog, death_signal, signal_group

BACKOFF_FIRST = 0.25
BACKOFF_LAST = 15.0
#: A child that lived this many seconds has recovered: its backoff starts anew.
STEADY_SECONDS = 20.0
POLL_SECONDS = 0.02
#: A log of so many bytes becomes `<name>.log.1`, the one before it goes; looked at every so many seconds.
LOG_LIMIT_BYTES = 16 * 1024 * 1024
LOG_SECONDS = 5.0
#: So much of a log's end is looked through for what a child said.
_SAID_BYTES = 4096
#: How workers and commands begin the sentence of an error.
_OURS = ("triton: ", "error: ")


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """How to run one child."""

    #: Unique below one supervisor; its log is `<logs>/<name>.log`.
    name: str
    argv: tuple[str, ...]
    #: The whole environment, or None to inherit the supervisor's.
    env: Mapping[str, str] | None = None
    #: User and group id to run as; None keeps the supervisor's.
    uid: int | None = None
    cwd: Path | None = None
    #: Stages stop from the highest to the lowest: 0 for engines, above for what uses them.
    stage: int = 1
    stop_signal: int = signal.SIGTERM
    #: Seconds that the child gets at a stop before it is killed.
    grace: float = 5.0
    restart: bool = True
    #: Descriptors that it inherits besides the supervisor's, under the same numbers, at every start.
    fds: tuple[int, ...] = ()


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A child that ended. `status` as `subprocess` gives it: negative is the signal."""

    name: str
    pid: int
    status: int
    #: True when the supervisor asked for the end.
    requested: bool
    #: Seconds until it is started again; None when it is not.
    restart_in: float | None = None
    #: What it said last, and where the rest is.
    words: str = ""
    log: str = ""

    @property
    def clean(self) -> bool:
        """Ended as asked: servers exit with 0 or re-raise the signal that stopped them."""
        return self.requested and self.status in (0, -signal.SIGTERM, -signal.SIGINT)

    def __str__(self) -> str:
        how = f"status {self.status}" if self.status >= 0 else signal.Signals(-self.status).name
        again = f"; it starts again in {self.restart_in} s" if self.restart_in is not None else ""
        why = f": {self.words}" if self.words else ""
        where = f"; see {self.log}" if self.log else ""
        return f"{self.name} (pid {self.pid}) ended with {how}{why}{again}{where}"


class Child:
    """One supervised process; it keeps its Spec over restarts."""

    def __init__(self, spec: Spec, log: Path) -> None:
        self.spec = spec
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.log_start = 0
        self.failures = 0
        self.restart_at: float | None = None
        self.stopping = False

    @property
    def pid(self) -> int:
        """0 when it does not run."""
        return self.process.pid if self.process is not None else 0

    @property
    def status(self) -> int | None:
        """The exit status that nobody collected yet; None while it runs."""
        return self.process.poll() if self.process is not None else None

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_words(self, lines: int = 3) -> str:
        """The end of what it said since its last start, on one line."""
        words = " | ".join(line.strip() for line in self._said()[-lines:] if line.strip())
        return words or "it said nothing"

    def reason(self) -> str:
        """The last sentence that it said to people since its last start, not a line of its JSON log."""
        plain = [line for line in self._said() if line.strip() and not line.startswith("{")]
        ours = [line for line in plain if line.startswith(_OURS)]
        found = next(iter([*ours[-1:], *plain[-1:]]), "")
        for prefix in _OURS:
            found = found.removeprefix(prefix)
        return found.strip()

    def _said(self) -> list[str]:
        with contextlib.suppress(OSError):
            said = self.log.read_bytes()[self.log_start :]
            if len(said) > _SAID_BYTES:
                # The line that the cut goes through would be mistaken for a sentence.
                said = said[-_SAID_BYTES:].partition(b"\n")[2]
            return said.decode(errors="replace").splitlines()
        return []


class Supervisor:
    """Runs children until told to stop. Use it from one thread, the main one where there is a choice.

    `inherit` are descriptors that every child gets, such as the data folder's lock.
    """

    def __init__(self, logs: Path, *, on_exit: Callable[[Exit], None] | None = None) -> None:
        self.logs = logs
        self.on_exit = on_exit
        self.inherit: tuple[int, ...] = ()
        self.children: dict[str, Child] = {}
        self._watchdog = Watchdog()
        self._logs_at = 0.0

    def spawn(self, spec: Spec) -> Child:
        """Starts a child; does not wait until it is ready.

        Raises StartupError when the program cannot be run, or one of that name runs already.
        """
        known = self.children.get(spec.name)
        if known is not None and known.running():
            raise StartupError(f"{spec.name} runs already, as pid {known.pid}: stop it first")
        child = Child(spec, self.logs / f"{spec.name}.log")
        self._start(child)
        self.children[spec.name] = child
        return child

    def poll(self) -> list[Exit]:
        """Collects children that ended and starts again those whose backoff is over."""
        exits = []
        if self.children:
            # No process to be had just now, say: the next poll tries again.
            with contextlib.suppress(OSError):
                self._watchdog.ensure()
        for child in list(self.children.values()):
            if child.status is not None:
                exits.append(self._ended(child))
            elif child.restart_at is not None and time.monotonic() >= child.restart_at:
                try:
                    self._start(child)
                except StartupError:
                    child.failures += 1
                    child.restart_at = time.monotonic() + BACKOFF_LAST
        if time.monotonic() >= self._logs_at:
            self._logs_at = time.monotonic() + LOG_SECONDS
            for child in self.children.values():
                self._shorten(child)
        return exits

    def _shorten(self, child: Child) -> None:
        """Begin a log anew that has grown large, under its writer, which appends wherever the end is. A line
        that is written in this moment may be lost."""
        # A full disk, say: the next look tries again.
        with contextlib.suppress(OSError):
            if child.log.stat().st_size > LOG_LIMIT_BYTES:
                shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
                os.truncate(child.log, 0)
                child.log_start = 0

    def run(self, stop: threading.Event, *, interval: float = 0.2) -> None:
        """Polls until `stop` is set (by a signal handler, say)."""
        while not stop.wait(interval):
            self.poll()

    def stop(self, *, timeout: float = 10.0) -> list[Exit]:
        """Ends every child, stage by stage from the highest, within `timeout` seconds in all."""
        deadline = time.monotonic() + timeout
        exits = []
        for stage in sorted({child.spec.stage for child in self.children.values()}, reverse=True):
            members = [c for c in self.children.values() if c.spec.stage == stage]
            exits += self._stop(members, deadline)
        self.children.clear()
        self._watchdog.close()
        return exits

    def stop_child(self, name: str) -> Exit | None:
        """Ends one child for good; None when it did not run."""
        child = self.children.pop(name, None)
        if child is None:
            return None
        exits = self._stop([child], time.monotonic() + child.spec.grace)
        return exits[0] if exits else None

    def wait_child(self, name: str, *, timeout: float) -> Exit:
        """Waits for a child that ends by itself, and forgets it. Ends it when the time is over."""
        child = self.children[name]
        deadline = time.monotonic() + timeout
        while child.running() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        ended = self._stop([child], deadline)[0]
        del self.children[name]
        return ended

    def _start(self, child: Child) -> None:
        spec = child.spec
        child.restart_at = None
        child.stopping = False
        self._watchdog.ensure()
        if child.log.exists() and child.log.stat().st_size > LOG_LIMIT_BYTES:
            child.log.replace(child.log.with_suffix(".log.1"))
        with child.log.open("ab") as log:
            child.log_start = log.tell()
            try:
                child.process = subprocess.Popen(
                    spec.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=spec.env,
                    cwd=spec.cwd,
                    pass_fds=(*self.inherit, *spec.fds),
                    start_new_session=True,
                    preexec_fn=death_signal(int(spec.stop_signal)),
                    **as_user(spec.uid),
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise StartupError(f"{spec.name} could not be run: {error}") from error
        child.started_at = time.monotonic()
        self._watchdog.add(child.pid, int(spec.stop_signal))

    def _ended(self, child: Child) -> Exit:
        """Accounts for a child whose process is over; what it forked goes with it."""
        assert child.process is not None
        status, pid = child.process.returncode, child.process.pid
        signal_group(pid, signal.SIGKILL)
        self._watchdog.remove(pid)
        child.process = None
        delay = None
        if child.spec.restart and not child.stopping:
            steady = time.monotonic() - child.started_at >= STEADY_SECONDS
            child.failures = 1 if steady else child.failures + 1
            delay = min(BACKOFF_LAST, BACKOFF_FIRST * 2 ** (child.failures - 1))
            child.restart_at = time.monotonic() + delay
        ended = Exit(
            name=child.spec.name,
            pid=pid,
            status=status,
            requested=child.stopping,
            restart_in=delay,
            words=child.reason() if status > 0 else "",
            log=str(child.log),
        )
        if self.on_exit is not None:
            self.on_exit(ended)
        return ended

    def _stop(self, children: list[Child], deadline: float) -> list[Exit]:
        """Signals all of them at once; kills who is left after its grace or at the deadline."""
        waiting = {}
        for child in children:
            child.restart_at = None
            child.stopping = True
            if child.process is not None:
                waiting[child] = min(deadline, time.monotonic() + child.spec.grace)
                child.process.send_signal(child.spec.stop_signal)
        exits = []
        while waiting:
            for child, limit in list(waiting.items()):
                if child.status is not None:
                    exits.append(self._ended(child))
                    del waiting[child]
                elif time.monotonic() >= limit:
                    signal_group(child.pid, signal.SIGKILL)
            if waiting:
                time.sleep(POLL_SECONDS)
        return exits


def as_user(uid: int | None) -> dict[str, Any]:
    """The arguments of `subprocess` that run a program as another user, without its groups."""
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
