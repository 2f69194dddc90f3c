"""Owns the servers of a run: engines from the wheels below a temporary folder, ended with their block."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from triton.events.client import connect
from triton.stack.engines import Engines
from triton.stack.folder import DataFolder
from triton.stack.processes import Child, Spec, Supervisor
from triton.stack.valkey import Valkey

ROOT = Path(__file__).resolve().parents[1]


class Server:
    """A fresh Valkey with its append-only file (everysec), and the processes that use it."""

    def __init__(self, url: str, folder: Path, supervisor: Supervisor) -> None:
        self.url = url
        self.folder = folder
        self.client: redis.Redis = connect(url)
        self._supervisor = supervisor

    @property
    def pid(self) -> int:
        return self._supervisor.children["valkey"].pid

    def spawn(self, name: str, *argv: str, env: dict[str, str]) -> Child:
        """A Python process of this project; it is ended before the server is."""
        return self._supervisor.spawn(
            Spec(
                name=name,
                argv=(sys.executable, *argv),
                env=environment(env),
                stage=1,
                grace=10.0,
                restart=False,
            )
        )

    def end(self, name: str) -> None:
        self._supervisor.stop_child(name)


@contextmanager
def valkey(*, tcp: bool = False) -> Iterator[Server]:
    """On its unix socket, or on a free loopback port."""
    with tempfile.TemporaryDirectory(prefix="triton-bench-") as name:
        folder = DataFolder(Path(name) / "data")
        with folder:
            supervisor = Supervisor(folder.logs)
            port = _free_port() if tcp else 0
            engine = Valkey(folder, supervisor, port=port)
            try:
                engine.start()
                url = f"redis://127.0.0.1:{port}/0" if tcp else engine.url
                server = Server(url, folder.path, supervisor)
                try:
                    yield server
                finally:
                    server.client.close()
            finally:
                supervisor.stop()


@contextmanager
def engines() -> Iterator[Engines]:
    """All three, durable as `triton up` runs them."""
    # Not a folder in a folder: as root, PostgreSQL runs as nobody and must reach its own.
    with (
        tempfile.TemporaryDirectory(prefix="triton-bench-") as name,
        Engines(Path(name)) as started,
    ):
        yield started


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(more: dict[str, str]) -> dict[str, str]:
    """The environment of a process that imports `bench`."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}
