"""Owns the roles of one platform as processes of their own, all to be hurt, and what tests ask of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import msgspec
import psycopg

from eventually import eventually
from ports import free_port
from triton.client import Client
from triton.settings import Settings
from triton.stack.processes import Spec, Supervisor

APPS = Path(__file__).parent / "apps"
APIS = ("api-1", "api-2")
PROJECTORS = ("projector-1", "projector-2")
WORKERS = ("worker-1", "worker-2", "worker-3")


class Roles:
    """Two API processes, two projectors and three workers; whoever ends is started again. A context."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = msgspec.structs.replace(
            settings,
            worker_processes=1,
            worker_threads=4,
            modules="cluster_actors",
            data=str(folder),
        )
        self.urls = {name: f"http://127.0.0.1:{free_port()}" for name in APIS}
        #: Who is not started again for now.
        self.away: set[str] = set()
        self._folder = folder
        (folder / "logs").mkdir()
        self._supervisor = Supervisor(folder / "logs")
        self._stopped = threading.Event()
        self._keeping = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        for name, url in self.urls.items():
            self._spawn(name, "api", 2, port=url.rpartition(":")[2])
        for name in PROJECTORS:
            self._spawn(name, "projector", 1)
        for name in WORKERS:
            self._spawn(name, "worker", 3)
        self._keeping.start()
        for url in self.urls.values():
            eventually(lambda url=url: _answers(url), timeout=120)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._keeping.join()
        self._supervisor.stop(timeout=20.0)
        if error is not None:
            for log in sorted((self._folder / "logs").iterdir()):
                print(f"--- {log.name}\n{log.read_text()[-3000:]}")

    def _keep(self) -> None:
        while not self._stopped.wait(0.1):
            for child in self._supervisor.children.values():
                # It must not grow patient with a part that fails: it is we who hurt it.
                child.failures = 0
            self._supervisor.poll()
            for name in PROJECTORS + APIS + WORKERS:
                child = self._supervisor.children[name]
                if child.restart_at is not None and name in self.away:
                    child.restart_at = time.monotonic() + 1

    def _spawn(self, name: str, role: str, stage: int, **more: str) -> None:
        environment = {
            **os.environ,
            **self.settings.environment(),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(APPS), os.environ.get("PYTHONPATH")))),
            **{f"TRITON_{word.upper()}": value for word, value in more.items()},
        }
        argv = (sys.executable, "-m", "triton", role)
        self._supervisor.spawn(
            Spec(name=name, argv=argv, env=environment, cwd=self._folder, stage=stage)
        )

    def kill(self, name: str) -> None:
        """kill -9 of a role with all it forked. It is started again soon, unless it is in `away`."""
        pid = eventually(lambda: self._supervisor.children[name].pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def log(self, name: str) -> str:
        """All that a role said, over all its lives."""
        return (self._folder / "logs" / f"{name}.log").read_text()

    def projecting(self) -> Counter[str]:
        """How many partitions of a store each projector works at now."""
        with psycopg.connect(self.settings.database_url) as connection:
            rows = connection.execute(
                "SELECT owner FROM checkpoints WHERE leased_until > now()"
                " AND projector IN ('postgres', 'clickhouse')"
            ).fetchall()
        names = {str(self._supervisor.children[name].pid): name for name in PROJECTORS}
        return Counter(names.get(owner.split(":")[1], "who is gone") for (owner,) in rows)

    def client(self, name: str) -> Client:
        return Client(self.urls[name])

    def triton(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as an operator of this platform has it."""
        return subprocess.run(
            [sys.executable, "-m", "triton", *arguments],
            env={**os.environ, **self.settings.environment()},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, verify=False).status_code == 200
    except httpx.TransportError:
        return False
