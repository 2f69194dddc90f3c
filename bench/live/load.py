"""Owns the clients of a run: one process, many sockets, one epoll loop.

    python -m bench.live.load PORT CLIENTS PATH [HEADER ...]

`{}` in PATH is the client's number. Lines on stdin are commands, answered with one line of JSON each:
`open` connects all (answers seconds until each had its headers), `mark` zeroes the counters, `report`
answers them, and the end of stdin ends the process. An event is counted by its `~`; every fiftieth client
also reads the `t:NANOSECONDS~` in it, of the monotonic clock, for the latency.
"""

from __future__ import annotations

import json
import re
import resource
import select
import socket
import sys
import time

from bench.table import percentile

_STAMP = re.compile(rb"t:(\d+)~")
#: Sockets that connect before the first of them is waited for.
_BURST = 200


class Load:
    def __init__(self, port: int, clients: int, path: str, headers: list[str]) -> None:
        self._port = port
        self._clients = clients
        self._path = path
        self._headers = "".join(f"{header}\r\n" for header in headers)
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._rests: dict[int, bytes] = {}
        self._heard: set[int] = set()
        self.opened = 0.0
        self.mark()

    def mark(self) -> dict[str, float]:
        self.events = 0
        self.bytes = 0
        self.closed = 0
        self.latencies: list[int] = []
        self.first = self.last = 0.0
        self._heard.clear()
        return {}

    def open(self) -> dict[str, float]:
        begin = time.monotonic()
        self.opened = begin
        fresh: list[socket.socket] = []
        for number in range(self._clients):
            fresh.append(self._connect(number))
            if len(fresh) >= _BURST:
                self._await_headers(fresh)
                fresh = []
        self._await_headers(fresh)
        return {"seconds": time.monotonic() - begin}

    def storm(self) -> dict[str, float]:
        """Connects all without waiting for anyone, and reads until each had its first event."""
        self.opened = begin = time.monotonic()
        for number in range(self._clients):
            connection = self._connect(number)
            connection.setblocking(False)
            self._follow(connection, b"")
        while len(self._heard) < self._clients and time.monotonic() - begin < 60:
            self.read(0.1)
        return {"seconds": time.monotonic() - begin, "heard": len(self._heard)}

    def read(self, timeout: float) -> None:
        for descriptor, _ in self._epoll.poll(timeout):
            if descriptor == 0:
                continue
            try:
                data = self._sockets[descriptor].recv(262_144)
            except BlockingIOError:
                continue
            if not data:
                self.closed += 1
                self._epoll.unregister(descriptor)
                continue
            self._take(descriptor, data)

    def report(self) -> dict[str, float]:
        found = sorted(self.latencies)
        return {
            "events": self.events,
            "bytes": self.bytes,
            "closed": self.closed,
            "heard": len(self._heard),
            "first_ms": (self.first - self.opened) * 1000,
            "seconds": max(self.last - self.first, 1e-9),
            "p50": percentile(found, 50) / 1e6 if found else -1,
            "p99": percentile(found, 99) / 1e6 if found else -1,
        }

    def listen(self, descriptor: int) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)

    def _connect(self, number: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), 30)
        path = self._path.replace("{}", str(number))
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            f"{self._headers}\r\n".encode()
        )
        return connection

    def _await_headers(self, fresh: list[socket.socket]) -> None:
        for connection in fresh:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(4096)
                if not data:
                    raise SystemExit(f"closed by the server: {head!r}")
                head += data
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"refused: {head[:200]!r}")
            connection.setblocking(False)
            self._follow(connection, head.partition(b"\r\n\r\n")[2])

    def _follow(self, connection: socket.socket, rest: bytes) -> None:
        descriptor = connection.fileno()
        if len(self._sockets) % max(1, self._clients // 50) == 0:
            self._rests[descriptor] = rest
        self._sockets[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)

    def _take(self, descriptor: int, data: bytes) -> None:
        count = data.count(b"~")
        self.bytes += len(data)
        if count:
            self.last = time.monotonic()
            self.first = self.first or self.last
            self.events += count
            self._heard.add(descriptor)
        if descriptor in self._rests:
            now = time.monotonic_ns()
            whole, mark, rest = (self._rests[descriptor] + data).rpartition(b"~")
            self._rests[descriptor] = rest[-4096:]
            self.latencies += (now - int(stamp) for stamp in _STAMP.findall(whole + mark))


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, clients, path, *headers = sys.argv[1:]
    load = Load(int(port), int(clients), path, headers)
    load.listen(0)
    commands = {"open": load.open, "storm": load.storm, "report": load.report, "mark": load.mark}
    while True:
        load.read(0.05)
        if select.select([0], [], [], 0)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps(commands[line.strip()]()), flush=True)


if __name__ == "__main__":
    main()
