"""Owns the plan of what may expire: the segments that outlived their retention, and what keeps the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from triton.audit.outliving import Contents
from triton.audit.rules import Hold, Retention
from triton.history import History


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of a partition's archive; `kept_by` says what keeps it, and is empty where nothing does."""

    partition: int
    first: int
    last: int
    key: str
    kept_by: str


async def plan(
    history: History, rules: Collection[Retention], holds: Sequence[Hold], now: int
) -> list[Planned]:
    """For each partition the oldest segments that may expire, and the first one that may not.

    What comes after that one stays too: a history has one beginning. The last segment always stays. Reads
    what it judges. Raises UnavailableError, EvidenceError.
    """
    found: list[Planned] = []
    for partition in range(history.partitions):
        segments = await history.past.archived.catalogue.look(history.tree(partition), 1)
        for index, segment in enumerate(segments):
            why = "it is the last one"
            if index < len(segments) - 1:
                contents = Contents()
                async for page in history.pages(partition, segment.first, segment.last):
                    contents.take(page)
                why = contents.kept_by(rules, holds, now)
            found.append(
                Planned(
                    partition=partition,
                    first=segment.first,
                    last=segment.last,
                    key=segment.key,
                    kept_by=why,
                )
            )
            if why:
                break
    return found
