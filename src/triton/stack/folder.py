"""Owns the data folder of an embedded stack: its lock, its sockets' place, the record of what runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from triton import disk
from triton.errors import StartupError

#: Bytes that a unix socket's path may have (sun_path without the closing NUL).
SOCKET_PATH_LIMIT = 107 if sys.platform.startswith("linux") else 103
#: The longest name that an engine puts below the run folder.
LONGEST_SOCKET = "postgres/.s.PGSQL.5432"
#: What the engines leave in the run folder; nothing else there is ever removed.
LEFTOVERS = ("valkey.sock", "postgres/.s.PGSQL.5432", "postgres/.s.PGSQL.5432.lock")
#: Seconds that a new stack waits for the engines of one that was killed.
PREDECESSOR_SECONDS = 10.0


class RunningStack(msgspec.Struct, frozen=True, kw_only=True):
    """What `stack.json` holds: who runs the stack and where its parts answer."""

    pid: int
    redis: str
    database: str
    clickhouse: str
    archive: str
    api: str = ""
    #: What the log was created with.
    namespace: str = "triton"
    partitions: int = 1


class DataFolder:
    """`<data>`, held by one stack at a time. A context manager: enter creates and locks it.

    The lock is a flock whose descriptor the engines inherit (`lock_fd`), so it is free exactly when
    the last process that writes below the folder is gone, even after kill -9 of the supervisor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock_fd = -1
        #: Where the sockets go.
        self.run = run_folder(self.path)
        self._run_is_ours = False

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def archive(self) -> Path:
        return self.path / "archive"

    @property
    def tenant_keys(self) -> Path:
        return self.path / "tenant-keys.json"

    @property
    def subject_keys(self) -> Path:
        """Keys of data subjects: not to be backed up together with the rest."""
        return self.path / "subject-keys"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Creates, locks and lays out the folder. Raises StartupError with one sentence."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
            self._lock()
            self.unpublish()
            for folder in (self.logs, self.archive):
                folder.mkdir(mode=0o700, exist_ok=True)
            make_run_folder(self.run)
            self._run_is_ours = True
        except OSError as error:
            self.close()
            raise StartupError(
                f"the data folder {self.path} cannot be used by uid {os.getuid()}"
                f" ({error.strerror or error}): choose another with --data or TRITON_DATA,"
                f" or change its owner"
            ) from error
        except StartupError:
            self.close()
            raise

    def close(self) -> None:
        """Gives the folder back."""
        if self.lock_fd < 0:
            return
        self.unpublish()
        if self._run_is_ours and not self.run.is_relative_to(self.path):
            _remove_run_folder(self.run)
        self._run_is_ours = False
        os.ftruncate(self.lock_fd, 0)
        os.close(self.lock_fd)
        self.lock_fd = -1

    def publish(self, running: RunningStack) -> None:
        """Writes `stack.json` (mode 0600) for the commands that look for the running stack."""
        disk.replace(self.path / "stack.json", msgspec.json.encode(running) + b"\n")

    def unpublish(self) -> None:
        (self.path / "stack.json").unlink(missing_ok=True)

    def _lock(self) -> None:
        path = self.path / "lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + PREDECESSOR_SECONDS
        while not _try_lock(fd):
            holder = _holder(path)
            if (holder and _alive(holder)) or time.monotonic() >= deadline:
                os.close(fd)
                by = f"pid {holder}" if holder and _alive(holder) else "engines that still end"
                raise already_runs(self.path, by)
            # Its supervisor is dead and its engines are on their way out.
            time.sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.lock_fd = fd


def already_runs(path: Path, by: str) -> StartupError:
    """The error of a second stack on a folder."""
    return StartupError(
        f"a Triton stack already runs on {path} (held by {by}):"
        f" stop it first, or choose another folder with --data"
    )


def running_stack(data: Path) -> RunningStack | None:
    """The stack that runs on the folder; None when none does (a file left by kill -9 is ignored)."""
    try:
        fd = os.open(data / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _try_lock(fd, fcntl.LOCK_SH):
            return None
    finally:
        os.close(fd)
    try:
        running = msgspec.json.decode((data / "stack.json").read_bytes(), type=RunningStack)
    except (OSError, msgspec.MsgspecError):
        return None
    return running if _alive(running.pid) else None


def run_folder(data: Path) -> Path:
    """Where the sockets go: `<data>/run`, or a short private folder below the temp folder.

    Raises StartupError when neither is short enough for a unix socket.
    """
    own = data / "run"
    if _fits(own):
        # Not a look at the temp folder: a container whose root is read-only may have none.
        return own
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"triton-{os.getuid()}-{name}"
    if _fits(short):
        return short
    raise StartupError(
        f"no socket fits: {short} is too long for a unix socket ({SOCKET_PATH_LIMIT} bytes);"
        f" choose a shorter --data, or set TMPDIR to a shorter folder"
    )


def _fits(run: Path) -> bool:
    return len(os.fsencode(run / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT


def make_run_folder(run: Path) -> None:
    """Creates it. Raises StartupError when others own it or may write to it."""
    run.mkdir(mode=0o700, exist_ok=True)
    found = run.lstat()
    owned = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not owned or found.st_mode & 0o027:
        raise StartupError(
            f"{run}, where this stack's sockets belong, is not a private folder of uid"
            f" {os.getuid()}: remove it, or choose another --data"
        )


def _remove_run_folder(run: Path) -> None:
    """Removes the sockets by name and the folders when they are empty; never a tree."""
    with contextlib.suppress(OSError):
        for name in LEFTOVERS:
            (run / name).unlink(missing_ok=True)
    for folder in (run / "postgres", run):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, as another user
        return True
    return True
