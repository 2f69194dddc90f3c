"""Owns what a soak writes down beside Triton: what was asked, what really ran, what was hurt."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

#: `accepted`: an answer with the id came. `refused`: an answer said no. `unknown`: no answer, or one that
#: a repeat after a lost reply may have got. `follows`: nobody submits it, an outcome does.
Answer = Literal["accepted", "refused", "unknown", "follows"]
T = TypeVar("T", bound=msgspec.Struct)


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job that the load asked for."""

    #: The row of `soak.kinds.KINDS` that says how it may end.
    kind: str
    job: str
    answer: Answer
    #: The id of the pipeline's next job, submitted when this one completes.
    then: str = ""
    #: A callback follows from its success.
    calls_back: bool = False


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody may have cancelled or requeued a job: written before it is sent."""

    what: Literal["cancel", "requeue"]
    job: str


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor wrote while it ran, with the machine's clock in microseconds."""

    #: `step`: the function of a durable step ran. `dies`: it kills its own process.
    word: Literal["begin", "end", "raised", "step", "dies"]
    job: str
    attempt: int
    pid: int
    at: int


class Injected(msgspec.Struct, kw_only=True):
    """One fault; times are microseconds since 1970, 0 for not yet."""

    kind: str
    target: str
    begun: int
    #: When it was taken back; for a kill: when the process was dead.
    ended: int = 0
    #: When the part that it hit worked again.
    recovered: int = 0
    #: The processes that were killed or stopped.
    pids: list[int] = []


def now() -> int:
    """Microseconds since 1970 by the machine's clock."""
    return time.time_ns() // 1000


class Journal:
    """A file of one record per line. A line is one write, so that a kill leaves whole lines only."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, record: msgspec.Struct) -> None:
        os.write(self._file, msgspec.json.encode(record) + b"\n")


def read(path: Path, kind: type[T], mark: str) -> Iterator[T]:
    """The records of a file that are of a kind, known by a field that only it has."""
    if path.exists():
        decode = msgspec.json.Decoder(kind).decode
        has = f'"{mark}":'.encode()
        yield from (decode(line) for line in path.read_bytes().splitlines() if has in line)
