"""Owns finding what no job's history says: children of a job, and administrative events.

PostgreSQL knows where they are, up to its projector's checkpoint; the rest, or all of it where PostgreSQL
is away, is looked for in the log itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from triton.errors import UnavailableError
from triton.events.envelope import CAUSATION, JOB, Event
from triton.history import Filter, History
from triton.history.index import PROJECTOR


async def children(history: History, causation: str, since: int, *, limit: int) -> list[str]:
    """The ids of jobs with this causation, oldest first, of those submitted at `since` (microseconds) or
    later; at most `limit`."""
    found: list[str] = []
    known = await _projected(history)
    try:
        if known and history.past.index is not None:
            values = {"causation": causation, "limit": limit}
            found = [row["job"] for row in await history.past.index.rows("children", values)]
    except UnavailableError:
        known = {}
    wanted = causation.encode()
    for partition in range(history.partitions):
        after = known.get(partition)
        if after is None:
            after = await history.position_at(partition, since - 1)
        after = max(after, await history.first_position(partition) - 1)
        chosen = Filter(types=frozenset(("job.submitted",)))
        async for page in history.pages(partition, after + 1, None, chosen):
            causes, jobs = page.columns[CAUSATION], page.columns[JOB]
            found += [j.decode() for c, j in zip(causes, jobs, strict=True) if c == wanted]
            if len(found) >= limit:
                break
    return list(dict.fromkeys(found))[:limit]


async def administrative(
    history: History, partition: int, types: Collection[str], first: int, last: int
) -> AsyncIterator[Event]:
    """Administrative events of some types between two positions, in order."""
    after = max(first, 1) - 1
    known = (await _projected(history)).get(partition, 0)
    if known > after and history.past.index is not None:
        values = {"partition": partition, "types": list(types), "first": after + 1}
        try:
            rows = await history.past.index.rows(
                "administrative", {**values, "last": min(last, known)}
            )
        except UnavailableError:
            rows = None
        for row in rows or ():
            entry = await history.entry(partition, row["position"])
            if entry is not None:
                yield entry.event()
        if rows is not None:
            after = known
    after = max(after, await history.first_position(partition) - 1)
    if after < last:
        chosen = Filter(types=frozenset(types))
        async for event in history.events(partition, after + 1, last, chosen):
            yield event


async def _projected(history: History) -> dict[int, int]:
    """Partition -> the position up to which PostgreSQL knows this log."""
    if history.past.index is None:
        return {}
    try:
        rows = await history.past.index.rows("projected", {"projector": PROJECTOR})
    except UnavailableError:
        return {}
    return {
        row["partition"]: row["position"]
        for row in rows
        if row["partition"] < history.partitions
        and row["epoch"] == history.epochs[row["partition"]]
    }
