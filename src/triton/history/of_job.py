"""Owns reading one job's past page by page, without reading what is not of it.

The index in PostgreSQL says where a job's events are, up to the projector's checkpoint; their exact bytes
are in Redis or in the archive. What the index does not know is found by the segments' own indexes, and in
Redis by range. Every page says up to which position it is complete, so pages join without a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from triton import keys
from triton.errors import EvidenceError, UnavailableError
from triton.events.entries import Entry, Page, dense
from triton.events.envelope import JOB, Event
from triton.history.index import PROJECTOR, event_of
from triton.observe.logger import get_logger

if TYPE_CHECKING:
    from triton.history.whole import WholeLog

#: Entries in one read of Redis.
_RANGE: Final = 1000

_log = get_logger("triton.history")


class JobPage(NamedTuple):
    """The job's events after some position up to `position`, all of them. One whose entry nobody has, or
    can give now, is an Event as the index tells of it."""

    found: list[Entry | Event]
    position: int


async def job_page(
    log: WholeLog,
    job: str,
    after: int,
    *,
    version: int = 0,
    until: int,
    limit: int,
    exact: bool = False,
) -> JobPage:
    """The next events of the job after a position, and after a version where that is known.

    Looks up to `until` at most where the index does not help; one page may be empty although more follows,
    as long as its position is below `until`. `exact`: only entries. Raises HoleError where neither Redis
    nor the archive nor the index has what follows, UnavailableError, EvidenceError, RedisError.
    """
    page = await _indexed(log, job, after, version, limit, exact=exact)
    if page is not None and page.position > after:
        return page
    return await _searched(log, job, after, until, limit)


async def _indexed(
    log: WholeLog, job: str, after: int, version: int, limit: int, *, exact: bool
) -> JobPage | None:
    """None where the index cannot be asked, or has no checkpoint in this epoch."""
    partition = keys.partition_of(job, log.partitions)
    values = {
        "job": job,
        "partition": partition,
        "projector": PROJECTOR,
        "epoch": log.epochs[partition],
        "after": after,
        "version": version,
        "limit": limit,
    }
    if log.past.index is None:
        return None
    try:
        rows = await log.past.index.rows("job_history", values)
    except UnavailableError:
        return None
    if not rows or rows[0]["complete_to"] is None:
        return None
    found = [row for row in rows if row["position"] is not None]
    position = found[-1]["position"] if len(found) == limit else rows[0]["complete_to"]
    return JobPage(await _exact(log, job, partition, found, strict=exact), position)


async def _exact(
    log: WholeLog, job: str, partition: int, rows: Sequence[Mapping[str, Any]], *, strict: bool
) -> list[Entry | Event]:
    """The entries at the rows' positions; the row's event where nobody has the entry."""
    live = await log.live_entries(partition, [row["position"] for row in rows])
    found: list[Entry | Event] = []
    page: Page | None = None
    away = False
    for row, entry in zip(rows, live, strict=True):
        position = row["position"]
        if entry is None and not away:
            try:
                if page is None or position > page.positions[-1]:
                    page = await log.past.archived.page(
                        log.tree(partition), position - 1, None, None
                    )
                if page is not None:
                    entry = page.entry(position - page.positions[0])
                else:  # in neither a moment ago
                    entry = await log.entry(partition, position)
            except (UnavailableError, EvidenceError) as error:
                if strict:
                    raise
                away = True
                _log.warning("history_from_index", job=job, reason=error.message)
        found.append(entry or event_of(row, job, partition))
    if strict and (lost := [one for one in found if isinstance(one, Event)]):
        raise log.hole(partition, lost[0].position, lost[0].position)
    return found


async def _searched(log: WholeLog, job: str, after: int, until: int, limit: int) -> JobPage:
    partition = keys.partition_of(job, log.partitions)
    wanted = job.encode()
    if after >= until:
        return JobPage([], after)
    raw = await log.live(partition, after, until, _RANGE)
    if raw is None:
        page = await _from_segments(log, job, after, until, limit)
        if page is not None:
            return page
        raw = await log.live(partition, after, until, _RANGE, again=True)
    if not raw:
        raise log.hole(partition, after + 1, until)
    entries = dense(partition, after, raw)
    ours: list[Entry | Event] = [entry for entry in entries if entry.value(JOB) == wanted]
    if len(ours) >= limit:
        return JobPage(ours[:limit], ours[limit - 1].position)
    return JobPage(ours, entries[-1].position)


async def _from_segments(
    log: WholeLog, job: str, after: int, until: int, limit: int
) -> JobPage | None:
    """The job's events in the next block that has some; None where no segment has what follows."""
    partition = keys.partition_of(job, log.partitions)
    reached = after
    pages = log.past.archived.of_jobs(log.tree(partition), frozenset((job,)), after, until)
    async for page, position in pages:
        reached = position
        if page is not None:
            found: list[Entry | Event] = [page.entry(i) for i in range(min(limit, page.size))]
            return JobPage(found, position if page.size <= limit else found[-1].position)
    return JobPage([], reached) if reached > after else None
