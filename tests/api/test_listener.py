"""The API's listening socket, opened or inherited."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from triton.api.listener import SEND_BUFFER, inherited, listen, url_of
from triton.errors import StartupError


def test_an_inherited_socket_answers_where_it_did() -> None:
    with listen("127.0.0.1", 0, 1000) as held:
        with inherited(os.dup(held.fileno()), 20_000) as taken:
            assert url_of(taken) == url_of(held)
        with socket.create_connection(held.getsockname()):
            pass


def test_a_connection_is_bounded_in_bytes_and_time_also_by_a_socket_of_somebody_else() -> None:
    plain = socket.create_server(("127.0.0.1", 0))
    for listener in (
        listen("127.0.0.1", 0, 7000),
        inherited(plain.detach(), 7000),
    ):
        with listener, socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                # Linux doubles the figure for its own bookkeeping.
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


def test_the_kernel_ends_a_connection_that_takes_nothing_and_is_never_closed() -> None:
    with listen("127.0.0.1", 0, 1000) as listener, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            with pytest.raises(TimeoutError) as caught:
                accepted.sendall(b"x" * 1_000_000)
            assert caught.value.errno == errno.ETIMEDOUT, "it is cut, not only waited for"


def test_what_is_no_listening_socket_is_said() -> None:
    read, write = os.pipe()
    with socket.socket() as idle:
        for descriptor in (read, os.dup(idle.fileno())):
            with pytest.raises(
                StartupError, match=f"descriptor {descriptor} is no listening socket"
            ):
                inherited(descriptor, 1000)
    os.close(write)
    with pytest.raises(StartupError, match=r"descriptor 987 is no listening socket \(Bad file"):
        inherited(987, 1000)
    os.close(read)
