"""Owns what `/metrics` says of the platform: log, queues, workers, projectors, streams, what became of jobs.

It is read from Redis and PostgreSQL at each scrape, so every API process says the same, and it is true also
for processes that were not there when it happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import tuple_row

from triton.api.queues import QueueView, queue_views, worker_views
from triton.api.services import Services
from triton.events.log import Log
from triton.projections.lag import Lag, lag

#: Queues that are told apart: the ones with most jobs. Anybody who submits can name a new one.
MAX_QUEUES: Final = 100
OTHERS: Final = "(others)"
#: Seconds that one source may take.
_TIMEOUT: Final = 3.0
_log = structlog.get_logger("triton.api")


async def scrape(services: Services, own: Sequence[Metric]) -> bytes:
    """Everything in Prometheus' text format. A source that does not answer is left out, and said to be."""
    sources: dict[str, Callable[[Services], Awaitable[list[Metric]]]] = {
        "log": _of_log,
        "queues": _of_queues,
        "projectors": _of_projectors,
    }
    up = GaugeMetricFamily(
        "triton_scrape_ok", "Whether a source of these figures answered.", labels=["source"]
    )
    found = await asyncio.gather(*(_asked(name, ask(services)) for name, ask in sources.items()))
    families: list[Metric] = [up, *_of_process(services)]
    for name, answer in zip(sources, found, strict=True):
        up.add_metric([name], 0.0 if answer is None else 1.0)
        families += answer or []
    registry = CollectorRegistry()
    registry.register(_Found([*own, *families]))
    return generate_latest(registry)


class _Found(Collector):
    """Metrics that were read before."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


async def _asked(name: str, answer: Awaitable[list[Metric]]) -> list[Metric] | None:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await answer
    except Exception as error:
        # Whatever a driver raises: one source less must not take the others away.
        _log.warning("metrics source is away", source=name, reason=str(error) or repr(error))
        return None


def _of_process(services: Services) -> list[Metric]:
    events = CounterMetricFamily(
        "triton_events",
        "Events of the log that this process saw since it began, by type: each process sees all of them.",
        labels=["type"],
    )
    for kind, count in sorted(services.hub.seen.items()):
        events.add_metric([kind.decode()], count)
    refused = CounterMetricFamily(
        "triton_quota_refused",
        "Requests that this process refused for a tenant's quota; the tenants with most, then the rest.",
        labels=["tenant", "quota"],
    )
    for place, ((tenant, quota), count) in enumerate(services.gate.refused.most_common()):
        if place == MAX_QUEUES:
            rest = services.gate.refused.total() - sum(one.value for one in refused.samples)
            refused.add_metric([OTHERS, ""], rest)
            break
        refused.add_metric([tenant, quota], count)
    limits = GaugeMetricFamily(
        "triton_quota_limit",
        "What a tenant may use, of tenants with quotas that asked this process for something.",
        labels=["tenant", "quota"],
    )
    for name, known in list(services.limits.limited().items())[:MAX_QUEUES]:
        for which in known.__struct_fields__:
            if (limit := getattr(known, which)) is not None:
                limits.add_metric([name, which], limit)
    return [
        refused,
        limits,
        _gauge("triton_streams", "Open live streams of this process.", services.hub.open_streams),
        _gauge(
            "triton_feed_ok", "1 while the feed follows the log.", 0 if services.hub.trouble else 1
        ),
        _gauge("triton_draining", "1 while this process ends.", int(services.hub.draining)),
        events,
    ]


async def _of_log(services: Services) -> list[Metric]:
    position = GaugeMetricFamily(
        "triton_log_position", "The last position of a partition.", labels=["partition"]
    )
    length = GaugeMetricFamily(
        "triton_log_entries", "Entries of a partition that are in Redis.", labels=["partition"]
    )
    for partition in range(services.settings.partitions):
        log = services.hub.log(partition)
        position.add_metric([str(partition)], await log.position(partition))
        length.add_metric([str(partition)], await log.length(partition))
    return [position, length]


async def _of_queues(services: Services) -> list[Metric]:
    views = await queue_views(services.redis, services.settings)
    views.sort(key=lambda view: (-(view.ready + view.due + view.running), view.name))
    jobs = GaugeMetricFamily(
        "triton_queue_jobs", "Jobs of a queue, by state.", labels=["queue", "state"]
    )
    wait = GaugeMetricFamily(
        "triton_queue_oldest_wait_seconds",
        "Seconds that the next job of a queue has waited; 0 where none waits.",
        labels=["queue"],
    )
    held = GaugeMetricFamily(
        "triton_queue_held", "1 where a queue is paused or drained.", labels=["queue"]
    )
    shown, rest = views[:MAX_QUEUES], views[MAX_QUEUES:]
    for view in shown:
        _add_queue(view.name, [view], jobs, wait, held)
    if rest:
        _add_queue(OTHERS, rest, jobs, wait, held)
    workers = await worker_views(services.redis, services.settings)
    threads = sum(worker.threads for worker in workers)
    return [
        jobs,
        wait,
        held,
        _gauge("triton_queues", "Queues that there are.", len(views)),
        _gauge("triton_workers", "Worker processes that live.", len(workers)),
        _gauge("triton_worker_threads", "Jobs that the living workers can run at once.", threads),
    ]


def _add_queue(
    name: str,
    views: Sequence[QueueView],
    jobs: GaugeMetricFamily,
    wait: GaugeMetricFamily,
    held: GaugeMetricFamily,
) -> None:
    for state in ("ready", "due", "running"):
        jobs.add_metric([name, state], sum(getattr(view, state) for view in views))
    wait.add_metric([name], max(view.oldest_wait_s or 0.0 for view in views))
    held.add_metric([name], float(any(view.state != "open" for view in views)))


async def _of_projectors(services: Services) -> list[Metric]:
    open_log = services.hub.log(0)
    # The hub's own may be older than an adoption: it opens the log anew when somebody listens.
    log = Log(open_log.client, open_log.namespace, open_log.epochs)
    await log.refresh()
    async with services.pool.connection(timeout=_TIMEOUT) as connection:
        rows = connection.row_factory
        connection.row_factory = tuple_row  # type: ignore[assignment]
        try:
            found = await lag(log, connection)
        finally:
            connection.row_factory = rows
    told: dict[str, tuple[str, Callable[[Lag], float]]] = {
        "lag_events": ("Positions that a projector is behind the log.", lambda one: one.behind),
        "lag_seconds": (
            "Age of the oldest event that it has not applied.",
            lambda one: one.seconds,
        ),
        "position": ("The position that it has reached.", lambda one: one.position),
        "parked": ("Events that it put aside.", lambda one: one.parked),
        "forked": ("1 where the log is not the one that it read.", lambda one: bool(one.forked)),
    }
    families: list[Metric] = []
    for name, (about, value) in told.items():
        family = GaugeMetricFamily(
            f"triton_projector_{name}", about, labels=["projector", "partition"]
        )
        for one in found:
            family.add_metric([one.projector, str(one.partition)], float(value(one)))
        families.append(family)
    return families


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
