"""Owns the platform under test: real engines, and every role as processes of its own, all to be hurt."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from soak.kinds import NOTES
from triton import migrate
from triton.api.listener import listen
from triton.errors import StartupError
from triton.settings import Settings
from triton.stack.engines import Engines
from triton.stack.processes import Child, Spec, Supervisor
from triton.verifier import triton_verify

ROOT: Final = Path(__file__).resolve().parents[1]
WORKERS: Final = ("worker-1", "worker-2", "worker-3")
PROJECTORS: Final = ("projector-1", "projector-2")
ARCHIVERS: Final = ("archiver-1", "archiver-2")
RELAYS: Final = ("relay-1", "relay-2")
#: The last of the workers and of the relays, the API and half of the load reach Redis through the proxy.
PROXIED: Final = ("worker-3", "relay-2", "api")
_ARCHIVE_MIB: Final = 192
_CLONE_NEWNS: Final = 0x00020000
_LOCAL_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


class SteppedClock(Supervisor):
    """Starts Valkey under libfaketime, so that its clock can be stepped by a file."""

    def __init__(self, logs: Path, library: Path, offset: Path) -> None:
        super().__init__(logs)
        self._env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def spawn(self, spec: Spec) -> Child:
        if spec.name == "valkey":
            spec = msgspec.structs.replace(spec, env={**(spec.env or {}), **self._env})
        return super().spawn(spec)


class Platform:
    """One platform below a folder with a short path. Use it from the main thread."""

    def __init__(
        self, folder: Path, *, partitions: int, lease_ms: int, clock: Path | None = None
    ) -> None:
        self.folder = folder
        self.data = folder / "d"
        self.notes = folder / "notes"
        self.requests = folder / "requests"
        self._offset = folder / "clock"
        self._settings = Settings(
            auth="off",
            data=str(self.data),
            partitions=partitions,
            lease_ms=lease_ms,
            max_deaths=12,
            modules="triton.handlers,soak.actors",
            worker_processes=1,
            worker_threads=4,
            seal_events=400,
            seal_ms=3000,
            keep_events=300,
            keep_ms=3000,
            result_ms=45_000,
            # Heads of jobs under a key leave as well, so that what Redis holds can be compared.
            idempotency_ms=45_000,
        )
        self.settings = self._settings
        self._engines = Engines(self.data)
        self.clock = clock
        if clock is not None:
            self.step_clock(0)
            self._engines.supervisor = SteppedClock(self._engines.folder.logs, clock, self._offset)
        self.archive_is_apart = False

    @property
    def supervisor(self) -> Supervisor:
        return self._engines.supervisor

    @property
    def api_url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def proxy_url(self) -> str:
        return f"unix://{self.folder / 'p'}?db=0"

    @property
    def aof(self) -> Path:
        """The folder of Valkey's append-only files."""
        return self.data / "valkey" / "appendonlydir"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Engines, schema, roles. Raises StartupError, and leaves nothing running then."""
        self.archive_is_apart = _small_file_system(self._engines.folder.archive)
        self._engines.start()
        try:
            self.settings = msgspec.structs.replace(
                self._settings,
                port=_steady_port(),
                redis_url=self._engines.redis_url,
                database_url=self._engines.database_url,
                clickhouse_url=self._engines.clickhouse_url,
                archive_url=self._engines.archive_url,
                outbox_url=self._engines.database_url,
            )
            migrate.up(self.settings.database_url, self.settings.clickhouse_url)
            installed = self.triton("outbox", "install")
            if installed.returncode != 0:
                raise StartupError(f"triton outbox install: {installed.stderr}")
            server = str(self._engines.folder.run / "valkey.sock")
            listen, control = str(self.folder / "p"), str(self.folder / "c")
            self._spawn("proxy", ("soak.cutting_proxy", listen, server, control), stage=1)
            for name in PROJECTORS:
                self._spawn(name, ("triton", "projector"), stage=2)
            for name in ARCHIVERS:
                self._spawn(name, ("triton", "archiver"), stage=2)
            for name in RELAYS:
                self._spawn(name, ("triton", "relay"), stage=2)
            self._spawn("api", ("triton", "api"), stage=3)
            for name in WORKERS:
                self._spawn(name, ("triton", "worker"), stage=4, grace=10.0)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._engines.stop(timeout=15.0)
        if self.archive_is_apart:
            subprocess.run(["umount", "-l", str(self._engines.folder.archive)], check=False)

    def run(self, name: str, *argv: str, more: Mapping[str, str] | None = None) -> Child:
        """A Python module as a child that is not started again."""
        return self._spawn(name, argv, stage=5, restart=False, more=more)

    def end(self, names: Sequence[str]) -> None:
        """Ends roles for good, as an operator would."""
        for name in names:
            self.supervisor.stop_child(name)

    def environment(self, name: str = "") -> dict[str, str]:
        """What a process needs to be part of this platform."""
        settings = self.settings
        if name in PROXIED:
            settings = msgspec.structs.replace(settings, redis_url=self.proxy_url)
        paths = (str(ROOT), os.environ.get("PYTHONPATH", ""))
        return {
            **os.environ,
            **settings.environment(),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            NOTES: str(self.notes),
        }

    def poll(self) -> None:
        """Collects who ended and starts again who is due. To be called often."""
        for child in self.supervisor.children.values():
            # The supervisor must not grow patient with a part that fails: it is we who hurt it.
            child.failures = 0
        self.supervisor.poll()

    def triton(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as an operator of this platform has it."""
        return subprocess.run(
            [sys.executable, "-m", "triton", *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def verify_alone(self) -> subprocess.CompletedProcess[str]:
        """What the archive says by itself to who has triton-verify, the key, and nothing of Triton."""
        key = self.triton("audit", "key").stdout.split()
        return subprocess.run(
            [sys.executable, "-I", "-S", triton_verify.__file__, str(self.data / "archive")]
            + [part for one in key if "+" in one for part in ("--key", one)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    # -- what faults do ----------------------------------------------------------------------------

    def child(self, name: str) -> Child:
        return self.supervisor.children[name]

    def members(self, name: str) -> list[int]:
        """The processes of a child: itself first, then what it forked."""
        group = self.child(name).pid
        return [group, *sorted(_group_of(group) - {group})] if group else []

    def signal(self, pids: Sequence[int], number: signal.Signals) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, name: str) -> list[int]:
        """kill -9 of a child and all it forked; the supervisor starts it again soon."""
        pids = self.members(name)
        self.signal(pids, signal.SIGKILL)
        return pids

    def tell_proxy(self, command: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(command.encode(), str(self.folder / "c"))

    def step_clock(self, seconds: float) -> None:
        """Valkey's clock is this many seconds off, within a second from now."""
        self._offset.write_text(f"{seconds:+.1f}\n")

    def _spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stage: int,
        grace: float = 5.0,
        restart: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Child:
        return self.supervisor.spawn(
            Spec(
                name=name,
                argv=(sys.executable, "-m", *argv),
                env={**self.environment(name), **(more or {})},
                cwd=self.folder,
                stage=stage,
                grace=grace,
                restart=restart,
            )
        )


def _steady_port() -> int:
    """A free port that no outgoing connection takes while the API is down."""
    first = int(_LOCAL_PORTS.read_text().split()[0]) if _LOCAL_PORTS.exists() else 32768
    while True:
        with contextlib.suppress(StartupError):
            port = first - 1 - secrets.randbelow(8000)
            listen("127.0.0.1", port, 1000).close()
            return port


def _group_of(group: int) -> set[int]:
    found = set()
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                # pid (name) state ppid pgrp ...; the name may hold anything
                if int((path / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                    found.add(int(path.name))
    return found


def _small_file_system(folder: Path) -> bool:
    """Puts the archive on a small file system of its own, where the kernel lets us.

    In a mount namespace of this process and its children, so that nothing of it is left when they end.
    """
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        return False
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    commands = (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", f"size={_ARCHIVE_MIB}m", "tmpfs", str(folder)],
    )
    return all(
        subprocess.run(command, capture_output=True, check=False).returncode == 0
        for command in commands
    )
