"""Owns gathering what explains a job: its queue as Redis has it, and what happened to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from psycopg.rows import DictRow

from triton import keys
from triton.api.services import Services
from triton.causes import TALK, Happened
from triton.errors import EvidenceError, HoleError, UnavailableError
from triton.events.client import server_time
from triton.events.envelope import to_microseconds
from triton.events.heads import read_body
from triton.events.queues import QueueState, read_queues
from triton.events.registry import read_workers
from triton.events.render import Shown, show
from triton.facts import Facts, Pause, Queue
from triton.history.index import PROJECTOR, event_of
from triton.job_view import JobView
from triton.observe.logger import get_logger

#: Events that are told, the newest; and entries of the log that are looked through for those that the
#: projector has not reached.
EVENTS: Final = 50
_ENTRIES: Final = 50_000

_log = get_logger("triton.api")


class _Event(msgspec.Struct, frozen=True):
    """What is told of an EventView."""

    type: str
    time: str
    position: int
    version: int
    attempt: int
    by: str
    causation: str
    data: dict[str, object]


async def facts_of(services: Services, view: JobView) -> Facts:
    """Raises UnavailableError, RedisError."""
    settings = services.settings
    place = (services.redis, settings.namespace, settings.partitions)
    prefix = keys.prefix(settings.namespace, view.partition)
    async with services.redis.pipeline(transaction=False) as pipe:
        pipe.zrank(keys.ready(prefix, view.queue), view.id)
        pipe.zscore(keys.leases(prefix, view.queue), view.id)
        rank, lease = await pipe.execute()
    message = await read_body(*place, view.id)
    (queue,) = await read_queues(*place, [view.queue])
    workers = await read_workers(*place)
    return Facts(
        now=await server_time(services.redis),
        job=view.id,
        state=view.state,
        attempt=view.attempt,
        actor=view.actor,
        declared=await _declared(services, view.actor),
        queue=_queue(queue, rank, sum(view.queue in each.about.queues for each in workers)),
        due=_time(view.due_at),
        started=_time(view.started_at),
        finished=_time(view.finished_at),
        worker=view.worker,
        percent=view.percent,
        stage=view.stage,
        cancel_requested=view.cancel_requested,
        error=view.error,
        reason=view.reason,
        lease_until=int(lease or 0),
        has_message=message is not None,
        events=await events_of(services, view),
    )


async def _declared(services: Services, actor: str) -> bool:
    first = keys.prefix(services.settings.namespace, 0)
    return bool(await services.redis.hexists(keys.actors(first), actor))


def _queue(queue: QueueState, ahead: int | None, workers: int) -> Queue:
    held = queue.held
    paused = held is not None and held.state == "paused"
    return Queue(
        name=queue.name,
        waiting=queue.ready,
        running=queue.running,
        ahead=ahead,
        workers=workers,
        paused=Pause(by=held.by, at=held.since, reason=held.reason) if held and paused else None,
    )


async def events_of(services: Services, view: JobView) -> Sequence[Happened]:
    """The newest events up to the view's, oldest first: from the index, and from the log what the index does
    not have yet. Where that is more than _ENTRIES, those in between are missing."""
    log = services.hub.log(view.partition)
    rows = await _rows(services, view, log.epochs[view.partition])
    source = services.framer.source
    shown = [
        show(event_of(row, view.id, view.partition), source)
        for row in rows
        if row["position"] is not None
    ]
    complete_to = rows[0]["complete_to"] if rows else 0
    shown += await _from_log(services, view, complete_to or 0, source)
    return [_happened(one) for one in shown][-EVENTS:]


async def _rows(services: Services, view: JobView, epoch: str) -> list[DictRow]:
    values = {
        "job": view.id,
        "partition": view.partition,
        "projector": PROJECTOR,
        "epoch": epoch,
        "talk": list(TALK),
        "limit": EVENTS,
    }
    try:
        return await services.jobs.rows("causes", values, view.tenant or None)
    except UnavailableError:
        return []


async def _from_log(services: Services, view: JobView, after: int, source: str) -> list[Shown]:
    log = services.log(view.partition)
    position = max(after, view.position - _ENTRIES)
    try:
        return [
            show(event, source)
            async for event in log.job(view.id, after=position, until=view.position)
            if event.type not in TALK
        ]
    except (UnavailableError, EvidenceError, HoleError) as error:
        _log.warning("explained_without_history", job=view.id, reason=error.message)
        return []


def _happened(shown: Shown) -> Happened:
    event = msgspec.json.decode(shown.json, type=_Event)
    return Happened(
        type=event.type,
        at=_time(event.time),
        position=event.position,
        version=event.version,
        attempt=event.attempt,
        by=event.by,
        causation=event.causation,
        data=event.data,
    )


def _time(text: str | None) -> int:
    return to_microseconds(datetime.fromisoformat(text)) if text else 0
