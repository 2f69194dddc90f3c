"""Owns the bytes of Server-Sent Events. Pure.

Lines end with LF; the fields of a frame come in the order event, data, id, and a frame is written whole:
a client that commits the id with its line, not with the frame, then loses at most one byte's worth of
time. Data events have no name, so `onmessage` gets types invented later; what Triton says of the stream
itself is named `triton.*`. A comment ends with one LF, because a blank line after it makes some clients
see an empty event.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from triton.events.render import one_line

HEARTBEAT: Final = b":\n"

Control: TypeAlias = Literal["hello", "snapshot", "caught-up", "cursor", "reset", "end", "bye"]


def event(line: bytes, cursor: str) -> bytes:
    """An event of the log: `line` is its JSON, `cursor` where a client is that has seen it."""
    return b"data: %b\nid: %b\n\n" % (line, cursor.encode())


def state(line: bytes) -> bytes:
    """A state that no event made: there is nowhere to go on from it."""
    return b"data: %b\n\n" % line


def control(name: Control, data: Any, cursor: str | None = None) -> bytes:
    """A frame named `triton.NAME`; without a cursor the client stays where it is."""
    line = data if isinstance(data, bytes) else one_line(data)
    if cursor is None:
        return b"event: triton.%b\ndata: %b\n\n" % (name.encode(), line)
    return b"event: triton.%b\ndata: %b\nid: %b\n\n" % (name.encode(), line, cursor.encode())


def retry(milliseconds: int) -> bytes:
    """How long the client waits before it connects again; put it before a frame, it needs no blank line."""
    return b"retry: %d\n" % milliseconds


def bye(reason: str, retry_ms: int) -> bytes:
    """The last frame before a close that is no end: come back after retry_ms."""
    return retry(retry_ms) + control("bye", {"reason": reason, "retry_ms": retry_ms})
