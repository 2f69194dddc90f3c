"""Owns a TCP proxy before the API that cuts answers at random bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from typing import Self


class Cutter:
    """Listens on a free loopback port; each answer ends after 1 to `most` bytes, `cuts` times at most."""

    def __init__(self, port: int, *, seed: int, most: int, cuts: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._most = most
        self._left = cuts
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closed alone, it would go on for as long as a thread waits in `accept`.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            room = self._random.randint(1, self._most) if self._left > 0 else None
            self._left -= 1
            threading.Thread(target=self._connect, args=(client, room), daemon=True).start()

    def _connect(self, client: socket.socket, room: int | None) -> None:
        # Closed when both ways have ended: a thread that is about to read would read from whatever got the
        # same descriptor meanwhile, and that connection would wait for ever.
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            there = threading.Thread(target=self._pass_on, args=(client, server, None), daemon=True)
            there.start()
            self._pass_on(server, client, room)
            there.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, room: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if room is not None and len(data) >= room:
                    target.sendall(data[:room])
                    self.cuts += 1
                    break
                target.sendall(data)
                room = None if room is None else room - len(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
