"""Owns how a worker's free slots become claims: partitions share them, and queues take turns. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from triton.broker.trip import Claim


class Shares:
    """Of one worker process; every claim has an operation id of its own."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        self._prefixes = prefixes
        self._ops = itertools.count(1)
        self._turn = 0

    def claims(self, queues: Sequence[str], free: int, *, wanted: bool) -> list[Claim]:
        """One claim for each partition that has a share of the `free` slots, or for each at all where it is
        `wanted`: that passes the bell on to another worker. At least one queue."""
        self._turn += 1
        first = self._turn % len(queues)
        turned = [*queues[first:], *queues[:first]]
        count = len(self._prefixes)
        share, rest = divmod(free, count)
        limits = [share + ((i - self._turn) % count < rest) for i in range(count)]
        return [
            Claim(prefix, str(next(self._ops)), turned, limit)
            for prefix, limit in zip(self._prefixes, limits, strict=True)
            if limit or wanted
        ]
