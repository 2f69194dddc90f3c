"""Owns a Valkey of a test's own that it may kill; its log is on disk with every write."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from eventually import eventually
from triton.stack.valkey import _binary


def started(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A server that answers."""
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen(
        [_binary(), *options, "--appendonly", "yes", "--appendfsync", "always"],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        return False

    eventually(answers)
    return server


@contextlib.contextmanager
def valkey(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One that is killed at the end."""
    server = started(port, folder)
    try:
        yield server
    finally:
        server.kill()
        server.wait()
