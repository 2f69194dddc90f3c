"""Owns closing a process off, so that what an actor does in it leaves nothing behind.

Two walls. In Linux's own: a network namespace without any interface, where the kernel grants one, so that
no library reaches a host. In Python's: an audit hook that refuses connections, child processes and writes
outside one temporary folder, with an error that says so. A hook cannot be taken out again.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any, Final

_NEWUSER: Final = 0x10000000
_NEWNET: Final = 0x40000000
_CONNECTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"})
_STARTS: Final = frozenset(
    {
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "pty.spawn",
    }
)
#: Events whose first argument is a path that they change; of the second kind, the second one too.
_CHANGES: Final = frozenset(
    {"os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.utime"}
)
_MOVES: Final = frozenset({"os.rename", "os.link", "os.symlink"})
_SIGNALS: Final = frozenset({"os.kill", "os.killpg"})
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class LeavesError(PermissionError):
    """Raised in an actor that would change something outside."""


def close_off(scratch: Path, *, allow_network: bool) -> str:
    """Close this process off but for one folder; says how tightly. Call it before any other thread runs."""
    tight = "" if allow_network else _without_network()
    sys.addaudithook(_Wall(scratch, allow_network=allow_network))
    if allow_network:
        return "connections are allowed"
    return tight or "Python's own connections are refused; the kernel gave no network namespace"


class _Wall:
    def __init__(self, scratch: Path, *, allow_network: bool) -> None:
        self._inside = str(scratch.resolve()) + os.sep
        self._refused = frozenset() if allow_network else _CONNECTS

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, int):
                return
            text = mode if isinstance(mode, str) else ""
            if set(text) & set("wax+") or (isinstance(flags, int) and flags & _WRITING):
                self._check(event, path)
        elif event in self._refused:
            self._refuse("connect to", arguments[1] if len(arguments) > 1 else "another process")
        elif event in _STARTS:
            self._refuse("start", arguments[0] if arguments else "another process")
        elif event == "sqlite3.connect" and str(arguments[0]) != ":memory:":
            self._check("open", arguments[0])
        elif event in _CHANGES:
            self._check(event, arguments[0])
        elif event in _MOVES:
            self._check(event, arguments[0])
            self._check(event, arguments[1])
        elif event in _SIGNALS and arguments[0] != os.getpid():
            self._refuse("send a signal to", arguments[0])

    def _check(self, event: str, path: object) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
        # Where a folder on the way is a link, the file would be elsewhere.
        where = Path(os.path.realpath(Path(text).parent), Path(text).name)
        if not str(where).startswith(self._inside) or where.is_symlink():
            self._refuse("change" if event != "open" else "write", text)

    def _refuse(self, what: str, target: object) -> None:
        raise LeavesError(f"a dry run does not {what} {target!r}: nothing may leave it")


def _without_network() -> str:
    """Move into a network namespace that has nothing in it; empty where the kernel refuses."""
    if not sys.platform.startswith("linux"):
        return ""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNET) != 0:
        if libc.unshare(_NEWUSER | _NEWNET) != 0:
            return ""
        # Still who it was before, for whoever asks.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            try:
                Path(f"/proc/self/{name}").write_text(text)
            except OSError:
                break
    return "a network namespace of its own, without any network"
