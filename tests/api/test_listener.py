"""The API's listening socket, opened or inherited."""

from __future__ import annotations

import os
import socket

import pytest

from triton.api.listener import inherited, listen, url_of
from triton.errors import StartupError


def test_an_inherited_socket_answers_where_it_did() -> None:
    with listen("127.0.0.1", 0) as held:
        with inherited(os.dup(held.fileno())) as taken:
            assert url_of(taken) == url_of(held)
        with socket.create_connection(held.getsockname()):
            pass


def test_what_is_no_listening_socket_is_said() -> None:
    read, write = os.pipe()
    with socket.socket() as idle:
        for descriptor in (read, os.dup(idle.fileno())):
            with pytest.raises(
                StartupError, match=f"descriptor {descriptor} is no listening socket"
            ):
                inherited(descriptor)
    os.close(write)
    with pytest.raises(StartupError, match=r"descriptor 987 is no listening socket \(Bad file"):
        inherited(987)
    os.close(read)
