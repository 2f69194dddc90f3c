"""Owns the embedded ClickHouse: the process with chDB and its HTTP front, its port and password."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import sys

import msgspec

from triton import disk
from triton.errors import StartupError
from triton.stack.engine import ENGINE_GRACE, START_SECONDS, await_answer, package_folder
from triton.stack.folder import DataFolder
from triton.stack.processes import Spec, Supervisor

HOST = "127.0.0.1"
USER = "default"
DATABASE = "triton"
#: The front's exit status when the port belongs to another process.
PORT_TAKEN = 98


class Credentials(msgspec.Struct, frozen=True):
    """What `<data>/clickhouse/server.json` (mode 0600) holds."""

    port: int
    password: str


class ClickHouse:
    """Tables in `<data>/clickhouse/store`; HTTP on a loopback port that is kept over restarts."""

    name = "clickhouse"

    def __init__(self, folder: DataFolder, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._home = folder.path / "clickhouse"
        self._file = self._home / "server.json"
        self._credentials = Credentials(port=0, password="")

    @property
    def url(self) -> str:
        known = self._credentials
        return f"http://{USER}:{known.password}@{HOST}:{known.port}/{DATABASE}"

    def launch(self) -> None:
        package_folder("chdb", "TRITON_CLICKHOUSE_URL")
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._credentials = self._remembered()
        self._supervisor.spawn(
            Spec(
                name=self.name,
                argv=(
                    *(sys.executable, "-m", "triton.stack.chdb_front"),
                    *("--path", str(self._home / "store"), "--database", DATABASE),
                    *("--host", HOST, "--port", str(self._credentials.port)),
                    *("--credentials", str(self._file)),
                ),
                stage=0,
                grace=ENGINE_GRACE,
            )
        )

    def wait(self) -> None:
        child = self._supervisor.children[self.name]
        try:
            await_answer(child, self.alive, timeout=START_SECONDS)
        except StartupError:
            if child.status != PORT_TAKEN:
                raise
            # Somebody took the port between our look and the bind: once more, with another.
            self._supervisor.stop_child(self.name)
            self.start()

    def start(self) -> None:
        self.launch()
        self.wait()

    def stop(self) -> None:
        self._supervisor.stop_child(self.name)

    def alive(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._credentials.port, timeout=2)
        headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": self._credentials.password}
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(connection),
        ):
            connection.request("POST", "/", body="SELECT 1", headers=headers)
            return connection.getresponse().read() == b"1\n"
        return False

    def _remembered(self) -> Credentials:
        """Port and password of the last start; others when the port is taken now.

        With a new port the password is new too: who took the old one may have been told it.
        """
        try:
            known = msgspec.json.decode(self._file.read_bytes(), type=Credentials)
        except FileNotFoundError:
            known = Credentials(port=0, password="")
        except msgspec.MsgspecError as error:
            raise StartupError(
                f"{self._file} is not what Triton wrote ({error}): remove it, and a new port and"
                f" password are made"
            ) from error
        if not known.port or not _free(known.port):
            known = Credentials(port=_any_port(), password=secrets.token_urlsafe(24))
            disk.replace(self._file, msgspec.json.encode(known) + b"\n")
        return known


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _any_port() -> int:
    """One below those that the kernel gives to outgoing connections: while the server is away, no client
    comes to own it. Any other where all of many are taken."""
    for _ in range(100):
        port = 10_000 + secrets.randbelow(22_000)
        if _free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        any_port: int = probe.getsockname()[1]
    return any_port
