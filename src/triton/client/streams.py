"""Owns what both kinds of subscription ask of a connection."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import httpx

from triton.client.following import SILENCE

#: Silence on a socket is watched here, not by a total time.
TIMEOUT: Final = httpx.Timeout(connect=5.0, read=SILENCE, write=5.0, pool=None)


def is_stream(answer: httpx.Response) -> bool:
    kind = answer.headers.get("content-type", "")
    return answer.status_code == 200 and str(kind).startswith("text/event-stream")


def headers_of(answer: httpx.Response) -> Mapping[str, str]:
    """By lower-case names."""
    return {name.lower(): value for name, value in answer.headers.items()}


def was_connected(error: httpx.RequestError) -> bool:
    """Whether the server may have had the request."""
    return not isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol
    )


def cut_off(answer: httpx.Response) -> None:
    """Ends a connection below whoever reads it."""
    stream = answer.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    if found is not None:
        with suppress(OSError):
            found.shutdown(socket.SHUT_RDWR)
