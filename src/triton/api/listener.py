"""Owns the API's listening socket: its options, how it is opened or inherited, and what a taken port says."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from triton.errors import StartupError

#: Bytes that the kernel takes for a client that does not read; inherited by every accepted connection.
SEND_BUFFER: Final = 128 * 1024
#: Connections that wait to be accepted.
BACKLOG: Final = 2048


def _bound(listener: socket.socket, timeout_ms: int) -> None:
    """Bounds what a connection costs whose other side does not read, or is gone without a word: after so many
    milliseconds the kernel ends it. Connections inherit this from the socket that takes them."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def listen(host: str, port: int, timeout_ms: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. `timeout_ms`: see the setting client_timeout_ms.

    Raises StartupError with what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bound(listener, timeout_ms)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.set_inheritable(False)
    except OSError as error:
        listener.close()
        raise StartupError(_sentence(host, port, error), host=host, port=port) from error
    return listener


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program: stop it, or choose another port "
            "with --port or TRITON_PORT"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} on {host} may not be opened by this user: choose one above 1023 with "
            "--port or TRITON_PORT"
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"the API cannot listen on {host}:{port}: {reason}; set TRITON_HOST and TRITON_PORT"


def inherited(descriptor: int, timeout_ms: int) -> socket.socket:
    """The listening socket that the process was started with, from `triton up` or socket activation.

    Raises StartupError when the descriptor is no listening socket.
    """
    try:
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise StartupError(_no_listener(descriptor, os.strerror(error.errno or 0))) from error
    if not listens:
        listener.detach()
        raise StartupError(_no_listener(descriptor, "it does not listen"))
    _bound(listener, timeout_ms)
    return listener


def _no_listener(descriptor: int, reason: str) -> str:
    return (
        f"descriptor {descriptor} is no listening socket ({reason}): unset TRITON_LISTEN_FD to bind "
        "TRITON_HOST and TRITON_PORT"
    )


def url_of(listener: socket.socket) -> str:
    """Where it answers."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
