"""Owns a role's signs of life: a file that says when its process last went on, and each part of it.

`triton.health` reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from triton.errors import ConfigurationError

#: Seconds between two signs.
BEAT: Final = 2.0
#: What a worker calls the part of it that talks to Redis.
REDIS: Final = "redis"
#: Characters of the time that a file begins with: it alone can be written anew.
_CLOCK: Final = 20


class Part:
    """Something that gets somewhere again and again while its engines answer."""

    def __init__(self) -> None:
        #: When it last did, by the monotonic clock; None before the first time.
        self.at: float | None = None

    def moved(self) -> None:
        self.at = time.monotonic()


class Signs:
    """Of one process. Its parts may be told of by any thread; nothing is written before `begin`."""

    def __init__(self) -> None:
        #: The file; empty for none.
        self.path = ""
        self._fd = -1
        self._parts: dict[str, Part] = {}

    def part(self, name: str) -> Part:
        """A part that is to get somewhere from now on; the one before of that name counts no more."""
        self._parts[name] = made = Part()
        return made

    def leave(self, name: str) -> None:
        """A part has done what it was there for."""
        self._parts.pop(name, None)

    def begin(self, folder: str, role: str) -> None:
        """Write into a folder from now on, as this role; nowhere where it is empty.

        The file stays locked as long as this process lives, so that none of an earlier one is mistaken for
        it. Raises ConfigurationError.
        """
        if not folder:
            return
        path = Path(folder) / f"{_prefix()}{role}.{os.getpid()}"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise ConfigurationError(
                f"TRITON_HEALTH is {folder!r}, where no sign of life can be written: {error}; name a "
                "folder that this user may write, or none",
                setting="health",
            ) from error
        self.path = str(path)
        self.beat()

    def beat(self) -> None:
        """The process goes on."""
        if self._fd < 0:
            return
        now = time.monotonic()
        still = {
            name: None if (at := part.at) is None else round(now - at, 3)
            for name, part in [*self._parts.items()]
        }
        text = f"{now:0{_CLOCK}.3f} {json.dumps(still)}".encode()
        # A full disk must not end the role; who looks sees an old sign.
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))

    def beat_apart(self) -> None:
        """Beat in a thread as long as this interpreter goes on."""
        if self._fd >= 0:
            threading.Thread(target=self._beat_on, name="triton-signs", daemon=True).start()

    def _beat_on(self) -> None:
        while True:
            self.beat()
            time.sleep(BEAT)

    def end(self) -> None:
        """The role has ended as it should."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                Path(self.path).unlink(missing_ok=True)
            os.close(fd)
            self.path = ""


#: Of this process.
signs: Final = Signs()


class Sign(NamedTuple):
    """What a living process left: seconds since its last beat, and between that and when each of its parts
    last got somewhere, None where it did not yet."""

    role: str
    pid: int
    beat: float
    parts: dict[str, float | None]


def refresh(path: str) -> None:
    """Speak for a process whose interpreter stands still for a reason; its parts stay as they were."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, f"{time.monotonic():0{_CLOCK}.3f}".encode(), 0)
        finally:
            os.close(fd)


def found(folder: str) -> list[Sign]:
    """Those of every process of this machine (or container) that lives."""
    read = (_read(path) for path in sorted(Path(folder).glob(f"{_prefix()}*")))
    return [sign for sign in read if sign is not None]


def _read(path: Path) -> Sign | None:
    with contextlib.suppress(OSError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            role, pid = path.name.removeprefix(_prefix()).split(".")
            clock, parts = _content(file)
            return Sign(role, int(pid), time.monotonic() - clock, parts)
        # Nobody holds it: its process is gone.
    return None


def _content(file: Any) -> tuple[float, dict[str, float | None]]:
    """A file that is written just now may be half of each."""
    for _ in range(3):
        file.seek(0)
        clock, _, parts = file.read().partition(b" ")
        with contextlib.suppress(ValueError):
            return float(clock), json.loads(parts)
        time.sleep(0.05)
    return 0.0, {}


def _prefix() -> str:
    """Containers that share a folder have the same process ids."""
    return f"{socket.gethostname()}:"
