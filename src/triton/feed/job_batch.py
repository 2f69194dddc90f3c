"""Owns one job's events as a batch, what follows a cursor, at once or after a wait; and where one stands."""

from __future__ import annotations

import asyncio
from typing import Literal

from triton import keys
from triton.errors import HoleError
from triton.feed.contract import CatchUp, LookUp, Sees
from triton.feed.cursor import Reason, epoch_id
from triton.feed.history import History
from triton.feed.hub import Hub
from triton.feed.topics import topic
from triton.job import TERMINAL


async def catch_up(
    hub: Hub,
    history: History,
    look_up: LookUp,
    job: str,
    cursor: str | None,
    *,
    sees: Sees,
    limit: int,
    wait: float,
) -> CatchUp | Reason | Literal["unknown"]:
    """Up to `limit` events after a cursor, without one from the job's first; waits up to `wait` seconds for
    the first of them, unless the job is over. Answers why a cursor is none, or `unknown` as `JobFeed.open`.

    Raises UnavailableError, RedisError, LogError.
    """
    partition = keys.partition_of(job, hub.partitions)
    place = hub.attach(partition, (topic("job", job),))
    try:
        state = await look_up(job, sees)
        if state is None:
            return "unknown"
        position: int | Reason = 0
        if cursor is not None:
            position = await position_of(hub, partition, place.position, cursor, state.tenant)
        if not isinstance(position, int):
            return position
        loop = asyncio.get_running_loop()
        until = loop.time() + (0.0 if state.state in TERMINAL else wait)
        found: list[bytes] = []
        while len(found) < limit:
            place.bell.clear()
            last = hub.ring(partition).last
            if position < last:
                left = limit - len(found)
                page = await history.page(job, partition, position, until=last, limit=left)
                found += [shown.json for shown in page.events]
                position = page.position
                continue
            if found or loop.time() >= until or place.closing:
                break
            await place.bell.wait_for(until - loop.time())
        text = hub.framer.cursor(hub.epoch(partition), partition, position, state.tenant)
        return CatchUp(found, text, len(found) < limit)
    except HoleError:
        return "trimmed"
    finally:
        hub.detach(place)


async def position_of(
    hub: Hub, partition: int, joined_at: int, cursor: str, tenant: str
) -> int | Reason:
    """The position of a cursor in a job's partition, or why it has none. `joined_at`: the log reached there
    when the follower came. Raises RedisError."""
    read = hub.framer.signer.read(cursor, tenant)
    if read == "invalid":
        return "invalid"
    position = read.position(partition)
    if position is None:
        return "partition"
    log = hub.log(partition)
    covered = log.epochs[read.first : read.first + len(read.positions)]
    if read.epoch != epoch_id(covered):
        return "epoch"
    if position > joined_at and position > await log.position(partition):
        return "future"
    return position
