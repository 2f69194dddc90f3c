"""Owns sending a job round again whose head has left Redis: it is made again of the job's history.

What is read is as of a position. The script takes it only where nothing happened to the job since; otherwise
it is read again. So two who do this at once, and a head that comes or goes meanwhile, make one new life.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec

from triton import keys
from triton.api.request_id import cause
from triton.api.services import Services
from triton.api.submission import fresh_body
from triton.errors import UnavailableError
from triton.events.client import send_async
from triton.events.entries import Entry
from triton.events.replies import RequeueAnswer, answers
from triton.history.of_job import job_page
from triton.restore.jobs import Jobs
from triton.restore.kept import Kept, Stay

#: Events of a job in one read.
_PAGE: Final = 500
#: Positions that the log may be ahead of what was read.
_NEAR: Final = 500
_TRIES: Final = 5
#: Milliseconds after which nothing is forgotten here.
_EVER: Final = 1 << 50


class _Past(msgspec.Struct, frozen=True):
    """An ended job's keys as they were, of all that happened up to an epoch's position."""

    kept: Kept
    epoch: str
    position: int


async def requeue(
    services: Services, job: str, *, op: str, by: str, reason: str, until: int | None = None
) -> RequeueAnswer:
    """Send a failed or cancelled job round again, whether its head is there or not.

    `until`: only where nothing happened to it after this position (`changed`). Raises UnavailableError where
    its history cannot be read, HoleError, EvidenceError, RedisError.
    """
    partition = keys.partition_of(job, services.settings.partitions)
    prefix = keys.prefix(services.settings.namespace, partition)
    for _ in range(_TRIES):
        past = await _past(services, job, partition)
        if past is None:
            return "missing"
        if until is not None and int(past.kept.head["pos"]) > until:
            return "changed"
        if past.kept.state == "completed":
            return "ended"
        if past.kept.state not in ("failed", "cancelled"):
            return "already"
        call = services.scripts.requeue(
            prefix,
            [(job, fresh_body(past.kept.body))],
            op=op,
            by=by,
            reason=reason,
            cause=cause(),
            read=(past.epoch, past.position),
            heads={job: past.kept.head},
        )
        found = answers((await send_async(services.redis, [call]))[0])
        answer = cast("RequeueAnswer", found[0])
        if answer != "changed":
            return answer
    raise UnavailableError(
        f"the log goes on faster than the history of job {job} is read; try again", job=job
    )


async def _past(services: Services, job: str, partition: int) -> _Past | None:
    """None for a job that the log does not know, or whose events cannot be read."""
    log = services.log(partition)
    jobs = Jobs(Stay(_EVER, _EVER, _EVER), now=0)
    after, end = 0, await log.position(partition)
    while after < end:
        page = await job_page(log, job, after, until=end, limit=_PAGE, exact=True)
        for entry in page.found:
            assert isinstance(entry, Entry)
            jobs.take(entry)
        after = page.position
        if after >= end:
            now = await log.position(partition)
            # What it took to read is read too, until the script has little to look through.
            end = now if now - after > _NEAR else end
    kept = next(jobs.kept(after + 1), None)
    if kept is None or jobs.unreadable or not kept.body:
        return None
    return _Past(kept, log.epochs[partition], after)
