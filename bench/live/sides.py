"""Owns who serves streams in a cell: how each is started, fed and asked for."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import redis

from bench.live.peers import STREAM
from bench.servers import environment
from triton import keys
from triton.events.client import send
from triton.events.replies import claimed
from triton.events.scripts import Scripts, pack_report
from triton.events.types import Output, Progressed
from triton.stack.engines import Engines
from triton.stack.processes import Spec
from triton.submit import Caller, message_for, submission_of

#: Characters that an event carries besides its stamp; the others' are as long as Triton's frames.
PAD: Final = "x" * 120
_PEER_PAD: Final = PAD + "x" * 290
SERVER_CORE, OTHER_CORE = 0, 1
NCHAN: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


class Side(Protocol):
    """`path` is what a client asks for; `publish` appends one event for all of them."""

    name: str
    port: int
    pid: int
    path: str

    def publish(self) -> None: ...


def stamp(pad: str) -> str:
    return f"t:{time.monotonic_ns()}~{pad}"


class Log:
    """One running job in Triton's log, which reports output."""

    def __init__(self, client: redis.Redis, queue: str = "live", job: str = "") -> None:
        self._client = client
        self._scripts = Scripts()
        self._prefix = keys.prefix("triton", 0)
        self._seq = 0
        self.job = job or uuid.uuid4().hex
        message = message_for(
            job=self.job, at_ms=1, actor="write", args=(), kwargs={}, queue=queue, options=None
        )
        take = self._scripts.claim(
            self._prefix,
            worker="bench",
            op=self.job,
            queues=[queue],
            limit=1,
            lease_ms=3_600_000,
            max_deaths=3,
        )
        submission = submission_of(message, Caller("user:bench", tenant="default"))
        send(client, [self._scripts.submit(self._prefix, [submission])])
        (found,) = claimed(send(client, [take])[0]).jobs
        self._attempt = found.attempt

    def publish(self, count: int = 1) -> None:
        """In one step of the log, and one round trip."""
        self._report([Output(chunk=stamp(PAD)) for _ in range(count)])

    def progress(self) -> None:
        """What a reader of the job's state sees too."""
        self._report([Progressed(percent=50, stage=stamp("read"))])

    def _report(self, said: list[Output] | list[Progressed]) -> None:
        packed = []
        for one in said:
            self._seq += 1
            packed.append(pack_report(self.job, self._attempt, self._seq, "worker:bench", one))
        send(self._client, [self._scripts.report(self._prefix, packed)])


class Triton:
    name = "Triton"

    def __init__(self, client: redis.Redis, port: int, pid: int) -> None:
        self.log = Log(client)
        self.port, self.pid = port, pid
        self.path = f"/api/v1/jobs/{self.log.job}/subscribe"

    def publish(self) -> None:
        self.log.publish()


class Peer:
    path = "/sub"

    def __init__(self, name: str, client: redis.Redis, port: int, pid: int) -> None:
        self.name, self.port, self.pid = name, port, pid
        self._client = client

    def publish(self) -> None:
        self._client.xadd(STREAM, {"d": stamp(_PEER_PAD)}, maxlen=1000)


class Nchan:
    name = "nginx with nchan"
    path = "/sub"

    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def publish(self) -> None:
        self._connection.request("POST", "/pub", stamp(_PEER_PAD), {"Content-Type": "text/plain"})
        self._connection.getresponse().read()


@contextmanager
def triton(started: Engines, client: redis.Redis, name: str = "api") -> Iterator[Triton]:
    """The API, as its own process."""
    env = {
        "TRITON_REDIS_URL": started.redis_url,
        "TRITON_DATABASE_URL": started.database_url,
        "TRITON_CLICKHOUSE_URL": started.clickhouse_url,
        "TRITON_ARCHIVE_URL": started.archive_url,
        "TRITON_AUTH": "off",
        "TRITON_STREAMS_PER_ADDRESS": "10000",
        "TRITON_STREAMS_PER_TENANT": "10000",
    }
    port = free_port()
    argv = ("-m", "triton", "api", "--port", str(port))
    with _process(started, name, argv, port, env) as pid:
        yield Triton(client, port, pid)


@contextmanager
def peer(started: Engines, client: redis.Redis, kind: str, name: str) -> Iterator[Peer]:
    port = free_port()
    argv = ("-m", "bench.live.peers", kind, str(port), started.redis_url)
    with _process(started, kind, argv, port, {}) as pid:
        yield Peer(name, client, port, pid)


@contextmanager
def nchan(started: Engines) -> Iterator[Nchan]:
    """One worker process, which is the one that serves."""
    port, folder = free_port(), started.folder.path / "nginx"
    folder.mkdir(mode=0o755, exist_ok=True)
    conf = (Path(__file__).parent / "nchan.conf").read_text()
    for mark, value in (("@MODULE@", str(NCHAN)), ("@PORT@", str(port)), ("@DIR@", str(folder))):
        conf = conf.replace(mark, value)
    (folder / "nginx.conf").write_text(conf)
    argv = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))
    with _process(started, "nginx", argv, port, {}, program="nginx") as pid:
        yield Nchan(port, pid)


def has_nchan() -> bool:
    return NCHAN.exists() and shutil.which("nginx") is not None


@contextmanager
def _process(
    started: Engines,
    name: str,
    argv: tuple[str, ...],
    port: int,
    env: dict[str, str],
    *,
    program: str = sys.executable,
) -> Iterator[int]:
    spec = Spec(
        name=name,
        argv=(program, *argv),
        env=environment(env),
        stage=1,
        grace=3.0,
        restart=False,
    )
    child = started.supervisor.spawn(spec)
    try:
        deadline = time.monotonic() + 30
        while not _answers(port):
            if not child.running() or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {child.last_words()}")
            time.sleep(0.05)
        pin(child.pid, SERVER_CORE)
        yield child.pid
    finally:
        started.supervisor.stop_child(name)


def pin(pid: int, core: int = OTHER_CORE) -> None:
    """A server has a core of its own where there are two; everything else shares the other."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _answers(port: int) -> bool:
    """Any status will do: a socket may listen long before its server is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        connection.getresponse()
    except OSError:
        return False
    finally:
        connection.close()
    return True
