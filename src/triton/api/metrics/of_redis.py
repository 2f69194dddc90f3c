"""Owns what Redis says of the log, of itself, of the queues and of who works."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import redis.asyncio
from prometheus_client.core import Metric
from redis.asyncio.cluster import RedisCluster

from triton import keys
from triton.api.metrics.families import MOST, OTHERS, family, single
from triton.api.queues import QueueView, queue_views, worker_views
from triton.api.services import Services
from triton.events.checks import read_checks
from triton.events.troubles import read_troubles

#: Entries whose size is looked at for the memory of a stream.
_SAMPLES: Final = 5


async def of_log(services: Services) -> list[Metric]:
    namespace = services.settings.namespace
    positions, entries, sizes = [], [], []
    for partition in range(services.settings.partitions):
        log, labels = services.hub.log(partition), (str(partition),)
        positions.append((labels, await log.position(partition)))
        entries.append((labels, await log.length(partition)))
        stream = keys.log(keys.prefix(namespace, partition))
        size: Any = await services.redis.memory_usage(stream, samples=_SAMPLES)
        sizes.append((labels, size or 0))
    checks = await read_checks(services.redis, namespace)
    troubles = await read_troubles(services.redis, namespace)
    now = time.time()
    return [
        family("triton_log_position", positions),
        family("triton_log_entries", entries),
        family("triton_log_bytes", sizes),
        family("triton_role_errors_total", (((one.role, one.kind), one.times) for one in troubles)),
        family("triton_check_ok", (((one.name,), one.ok) for one in checks)),
        family(
            "triton_check_age_seconds",
            (((one.name,), max(0.0, now - one.at / 1e6)) for one in checks),
        ),
    ]


async def of_server(services: Services) -> list[Metric]:
    nodes = await _infos(services.redis)
    limit = "maxmemory", "total_system_memory"
    return [
        family(
            "triton_redis_memory_bytes",
            (((node,), info["used_memory"]) for node, info in nodes.items()),
        ),
        family(
            "triton_redis_memory_limit_bytes",
            (
                ((node,), next((info[name] for name in limit if info.get(name)), 0))
                for node, info in nodes.items()
            ),
        ),
        family("triton_redis_durable", (((node,), _durable(info)) for node, info in nodes.items())),
        family(
            "triton_redis_noeviction",
            (
                ((node,), info.get("maxmemory_policy") == "noeviction")
                for node, info in nodes.items()
            ),
        ),
    ]


async def _infos(client: redis.asyncio.Redis) -> dict[str, Mapping[str, Any]]:
    """What each server that takes writes says of itself, by its address; one alone has none."""
    cluster: object = client
    if isinstance(cluster, RedisCluster):
        answer: Any = await cluster.info(target_nodes=RedisCluster.PRIMARIES)
        # One node's answer comes as it is.
        return cast(
            "dict[str, Mapping[str, Any]]", answer if "used_memory" not in answer else {"": answer}
        )
    return {"": await client.info()}


def _durable(info: Mapping[str, Any]) -> bool:
    status = "aof_last_write_status", "aof_last_bgrewrite_status"
    return bool(info.get("aof_enabled")) and all(info.get(name, "ok") == "ok" for name in status)


async def of_queues(services: Services) -> list[Metric]:
    views = await queue_views(services.redis, services.settings)
    services.figures.expect([view.name for view in views])
    workers = await worker_views(services.redis, services.settings)
    return [
        *queue_families(views),
        single("triton_workers", len(workers)),
        single("triton_worker_threads", sum(worker.threads for worker in workers)),
        single("triton_worker_busy", sum(len(worker.running) for worker in workers)),
    ]


def queue_families(views: Sequence[QueueView]) -> list[Metric]:
    """The queues with most jobs are told apart; the rest is one."""
    views = sorted(views, key=lambda view: (-(view.ready + view.due + view.running), view.name))
    groups = [(view.name, [view]) for view in views[:MOST]]
    if rest := views[MOST:]:
        groups.append((OTHERS, rest))
    return [
        family(
            "triton_queue_jobs",
            (
                ((name, state), sum(getattr(view, state) for view in group))
                for name, group in groups
                for state in ("ready", "due", "running")
            ),
        ),
        family(
            "triton_queue_backlog",
            (((name,), sum(view.ready + view.running for view in group)) for name, group in groups),
        ),
        family(
            "triton_queue_oldest_wait_seconds",
            (((name,), max(view.oldest_wait_s or 0.0 for view in group)) for name, group in groups),
        ),
        family(
            "triton_queue_held",
            (((name,), any(view.state != "open" for view in group)) for name, group in groups),
        ),
        family(
            "triton_queue_workers",
            # Of queues that are one series: whether there is one that nobody serves.
            (((name,), min(view.workers for view in group)) for name, group in groups),
        ),
        single("triton_queues", len(views)),
    ]
