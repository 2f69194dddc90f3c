"""Owns the choice of TCP ports for servers that a test starts, ends and starts again."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """One below the range from which the kernel serves outgoing connections: while the server is away, no
    client of a test beside it comes to own the port."""
    while True:
        # Not from `random`: Hypothesis seeds that, and two tests at once would choose the same ones.
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
