"""Owns the memory that a worker process shares with its keeper: which jobs it holds, and until when at most.

Only the standard library: the keeper must be small. Written by the worker at every claim and every outcome,
so it costs no system call; read by the keeper only while the worker's interpreter stands still.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import weakref
from typing import Final, NamedTuple

#: Jobs that one process can hold under its keeper's eyes; more are held without.
SLOTS: Final = 1024
#: The deadline in monotonic seconds (0: none), the attempt, the id's length in bytes (0: free); then the id.
_HEAD: Final = struct.Struct("<dIH")
_DEADLINE: Final = struct.Struct("<d")
_LENGTH: Final = struct.Struct("<H")
_LENGTH_AT: Final = 12
#: Bytes of an id at most, and of a slot.
_MOST: Final = 810
_SIZE: Final = _HEAD.size + _MOST


class Hold(NamedTuple):
    job: str
    attempt: int
    #: Monotonic seconds, the same clock in both processes; 0 for none.
    deadline: float


class Holds:
    """The table. `fd` is its file, which the keeper inherits; without one a new table is made."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = _new_file() if fd is None else fd
        self._memory = mmap.mmap(self.fd, SLOTS * _SIZE)
        self._free = list(range(SLOTS - 1, -1, -1))
        if fd is None:
            weakref.finalize(self, os.close, self.fd)

    def take(self, job: str, attempt: int) -> int:
        """Note a job. Answers its slot, -1 where none is free."""
        name = job.encode()
        if len(name) > _MOST or not self._free:
            return -1
        slot = self._free.pop()
        start = slot * _SIZE
        self._memory[start + _HEAD.size : start + _HEAD.size + len(name)] = name
        _HEAD.pack_into(self._memory, start, 0.0, attempt, len(name))
        return slot

    def limit(self, slot: int, deadline: float) -> None:
        if slot >= 0:
            _DEADLINE.pack_into(self._memory, slot * _SIZE, deadline)

    def free(self, slot: int) -> None:
        if slot >= 0:
            _LENGTH.pack_into(self._memory, slot * _SIZE + _LENGTH_AT, 0)
            self._free.append(slot)

    def read(self) -> list[Hold]:
        """All jobs in the table."""
        found = []
        for start in range(0, len(self._memory), _SIZE):
            deadline, attempt, length = _HEAD.unpack_from(self._memory, start)
            if length:
                name = self._memory[start + _HEAD.size : start + _HEAD.size + length]
                found.append(Hold(name.decode(errors="replace"), attempt, deadline))
        return found


def _new_file() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("triton-holds")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, SLOTS * _SIZE)
    return fd
