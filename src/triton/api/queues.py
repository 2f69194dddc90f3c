"""Owns how queues and workers look to clients. Pure, besides the two functions that read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
import redis.asyncio

from triton.errors import NotFoundError
from triton.events.queues import Held, QueueState, queue_names, read_queues
from triton.events.registry import LiveWorker, read_workers
from triton.events.render import rfc3339
from triton.settings import Settings

Standing: TypeAlias = Literal["open", "paused", "draining"]


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """Who paused or drained the queue, why, and since when."""

    by: str
    reason: str
    since: str


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """One queue, as it is now."""

    name: str
    #: open | paused (nothing is handed out) | draining (nothing new is taken)
    state: Standing
    #: Null while it is open.
    held: HeldView | None
    #: Jobs that may start now, that are scheduled, and that run.
    ready: int
    due: int
    running: int
    #: Seconds that the job which is next has waited; null where none waits.
    oldest_wait_s: float | None
    #: Jobs that the living workers ended in the last minute.
    finished_per_minute: int
    #: Living worker processes that take its jobs.
    workers: int


class QueueList(msgspec.Struct, frozen=True, kw_only=True):
    """All queues, by name."""

    queues: list[QueueView]


class RunningView(msgspec.Struct, frozen=True, kw_only=True):
    """A job under the worker's lease."""

    job: str
    actor: str
    queue: str
    attempt: int
    since: str


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One living worker process: its heart beat within its lease."""

    id: str
    host: str
    pid: int
    since: str
    #: Of Triton.
    version: str
    threads: int
    queues: list[str]
    finished_per_minute: int
    running: list[RunningView]


class WorkerList(msgspec.Struct, frozen=True, kw_only=True):
    """All living worker processes, by id."""

    workers: list[WorkerView]


async def queue_views(
    client: redis.asyncio.Redis, settings: Settings, only: str | None = None
) -> list[QueueView]:
    """All queues by name, or the one. Raises NotFoundError for one that nobody has heard of."""
    place = (client, settings.namespace, settings.partitions)
    workers = await read_workers(*place)
    names = await queue_names(*place) | {name for w in workers for name in w.about.queues}
    if only is not None:
        if only not in names:
            raise NotFoundError(
                f"there is no queue {only!r}: no job was ever submitted to it, and no worker listens to it; "
                "`triton queues` lists all",
                queue=only,
            )
        names = {only}
    states = await read_queues(*place, sorted(names))
    return [queue_view(state, workers) for state in states]


async def worker_views(client: redis.asyncio.Redis, settings: Settings) -> list[WorkerView]:
    found = await read_workers(client, settings.namespace, settings.partitions)
    return [worker_view(worker) for worker in found]


def queue_view(queue: QueueState, workers: Sequence[LiveWorker]) -> QueueView:
    return QueueView(
        name=queue.name,
        state=queue.held.state if queue.held else "open",
        held=_held(queue.held),
        ready=queue.ready,
        due=queue.due,
        running=queue.running,
        oldest_wait_s=None if queue.next_waited is None else queue.next_waited / 1_000_000,
        finished_per_minute=sum(worker.about.ended.get(queue.name, 0) for worker in workers),
        workers=sum(queue.name in worker.about.queues for worker in workers),
    )


def worker_view(worker: LiveWorker) -> WorkerView:
    about = worker.about
    return WorkerView(
        id=worker.worker,
        host=about.host,
        pid=about.pid,
        since=rfc3339(about.since) or "",
        version=about.version,
        threads=about.threads,
        queues=about.queues,
        finished_per_minute=sum(about.ended.values()),
        running=[
            RunningView(
                job=running.job,
                actor=running.actor,
                queue=running.queue,
                attempt=running.attempt,
                since=rfc3339(running.since) or "",
            )
            for running in worker.running
        ],
    )


def _held(held: Held | None) -> HeldView | None:
    if held is None:
        return None
    return HeldView(by=held.by, reason=held.reason, since=rfc3339(held.since) or "")
