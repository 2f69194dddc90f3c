"""Owns a proxy before a Redis that loses replies: the server acted, and the client never hears of it."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import threading
from pathlib import Path


class CuttingProxy:
    """Listens on a unix socket and passes everything on to another one.

    `chance` is how likely the connection ends in place of a reply that the server sent.
    """

    def __init__(self, path: Path, server: Path, seed: int = 0) -> None:
        self.url = f"unix://{path}?db=0"
        self.chance = 0.0
        self.cuts = 0
        self._server = server
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def cut_all(self) -> None:
        """End every connection, whatever is under way on it."""
        with self._lock:
            still_open = list(self._open)
        for each in still_open:
            self._end(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._server))
            except OSError:  # the server is away: its clients must see that
                server.close()
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._connect, args=(client, server), daemon=True).start()

    def _connect(self, client: socket.socket, server: socket.socket) -> None:
        # Closed when both ways have ended: a thread that is about to read would read from whatever got the
        # same descriptor meanwhile, and that connection would wait for ever.
        with client, server:
            there = threading.Thread(
                target=self._pass_on, args=(client, server, False), daemon=True
            )
            there.start()
            self._pass_on(server, client, True)
            there.join()
            with self._lock:
                self._open -= {client, server}

    def _pass_on(self, source: socket.socket, target: socket.socket, cuts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if cuts and self._random.random() < self.chance:
                    self.cuts += 1
                    break
                target.sendall(data)
        self._end(source)
        self._end(target)

    @staticmethod
    def _end(each: socket.socket) -> None:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """`LISTEN SERVER CONTROL`: a proxy as a process. CONTROL is a datagram socket that takes `cut` and
    `chance FRACTION`."""
    listen, server, control = map(Path, sys.argv[1:])
    for path in (listen, control):
        path.unlink(missing_ok=True)
    commands = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    commands.bind(str(control))
    proxy = CuttingProxy(listen, server)
    while True:
        word, _, value = commands.recv(64).decode().partition(" ")
        if word == "cut":
            proxy.cut_all()
        else:
            proxy.chance = float(value)


if __name__ == "__main__":
    main()
