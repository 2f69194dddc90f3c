"""Owns writing logs entry by entry, as the scripts would: thousands at once, and any that a test wants."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import redis

from triton import keys
from triton.events.codec import encode_data
from triton.events.envelope import FIELDS
from triton.events.types import Completed, Progressed, Started, Submitted

BEGIN = 1_700_000_000_000_000
_LATER = (
    (b"job.started", encode_data(Started(worker="w"))),
    (b"job.progressed", encode_data(Progressed(percent=50.0, stage="half"))),
    (b"job.completed", encode_data(Completed(result={"pages": 3}))),
    (b"job.requeued", b"\x80"),
)


class Line(NamedTuple):
    """One entry, as a list knows it."""

    position: int
    type: str
    job: str
    version: int
    at: int
    tenant: str
    queue: str
    actor: str
    correlation: str
    #: The values of the entry's fields.
    values: Sequence[bytes]


def lines(
    chance: random.Random,
    count: int,
    *,
    jobs: int = 6,
    after: int = 0,
    begin: int = BEGIN,
    steps: Sequence[int] = (0, 1, 7),
) -> list[Line]:
    """Lives of some jobs, interleaved; several events may have the same time."""
    made: list[Line] = []
    known: dict[str, Line] = {}
    at = begin
    for position in range(after + 1, after + 1 + count):
        at += chance.choice(steps)
        job = f"job-{chance.randrange(jobs)}"
        before = known.get(job)
        if before is None:
            kind = b"job.submitted"
            tenant, queue, actor = (chance.choice(names) for names in ("ab", "qr", "xyz"))
            correlation = chance.choice(["", "", "flow", "job-0"])
            data = encode_data(Submitted(actor=actor, body=b"{}"))
            version = 1
        else:
            _, _, _, version, _, tenant, queue, actor, correlation, _ = before
            version += 1
            kind, data = chance.choice(_LATER)
        values = (
            *(kind, job.encode(), b"%d" % version, b"1", b"%d" % at, b"worker:w", b""),
            *(correlation.encode(), b"", tenant.encode(), queue.encode(), b"1", data),
        )
        line = Line(
            position, kind.decode(), job, version, at, tenant, queue, actor, correlation, values
        )
        known[job] = line
        made.append(line)
    return made


def append(client: redis.Redis, prefix: str, some: Sequence[Line], epoch: str = "e1") -> None:
    """Puts them at the end of a partition's log, which is made if there is none."""
    pipe = client.pipeline(transaction=True)
    for line in some:
        flat = [part for pair in zip(FIELDS, line.values, strict=True) for part in pair]
        pipe.execute_command("XADD", keys.log(prefix), f"{line.position}-0", *flat)
    pipe.hset(
        keys.meta(prefix),
        mapping={"epoch": epoch, "pos": some[-1].position, "partitions": 1, "layout": 1},
    )
    pipe.execute()
