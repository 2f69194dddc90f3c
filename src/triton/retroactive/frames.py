"""Owns messages over a pipe: four bytes of length, big-endian, then the message."""

from __future__ import annotations

import os
from typing import Final

_HEAD: Final = 4


def write_frame(fd: int, message: bytes) -> None:
    """Raises OSError where nobody reads any more."""
    rest = memoryview(len(message).to_bytes(_HEAD, "big") + message)
    while rest:
        rest = rest[os.write(fd, rest) :]


def read_frame(fd: int) -> bytes | None:
    """The next message; None at the end."""
    head = _read(fd, _HEAD)
    return None if head is None else _read(fd, int.from_bytes(head, "big"))


def _read(fd: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(fd, size - len(parts))
        if not part:
            return None
        parts += part
    return bytes(parts)
