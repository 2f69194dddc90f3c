"""Owns what streams are woken by: topics that an entry belongs to, such as `job:ID`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, TypeAlias

from triton.events.log import Entry

#: A kind, a colon and a value.
Topic: TypeAlias = bytes

#: Of each kind besides `job`: where an entry's flat list has its value. `all` is every event of a job.
COLUMNS: Final = {b"type": 1, b"correlation": 15, b"tenant": 19, b"queue": 21, b"all": 3}
_JOB: Final = 3


def own(entry: Entry) -> tuple[Topic, ...]:
    """The topic that the ring keeps an index of: the job's; none for an event of no job."""
    job = entry.fields[_JOB]
    return (b"job:" + job,) if job else ()


def others(entry: Entry, kinds: Collection[bytes]) -> Iterator[Topic]:
    """Those of some kinds besides."""
    fields = entry.fields
    if not fields[_JOB]:
        return
    for kind in kinds:
        if kind == b"all":
            yield b"all:"
        else:
            # A job that belongs to nothing belongs to itself.
            yield kind + b":" + (fields[COLUMNS[kind]] or fields[_JOB])


def topic(kind: str, value: str = "") -> Topic:
    """`queue:mail` and the like."""
    return f"{kind}:{value}".encode()


def kind_of(followed: Topic) -> bytes:
    return followed.partition(b":")[0]
