"""Owns the figures of one API process beside its requests: streams, feed, quotas, disks."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from prometheus_client.core import Metric

from triton.api.metrics.families import MOST, OTHERS, family, single
from triton.api.services import Services
from triton.setting_urls import path_of
from triton.settings import Settings


async def of_process(services: Services) -> list[Metric]:
    hub = services.hub
    disks = await asyncio.to_thread(lambda: list(_disks(services.settings)))
    return [
        single("triton_streams", hub.open_streams),
        family("triton_streams_closed_total", _by_name(hub.closed)),
        family("triton_streams_refused_total", _by_name(hub.refused)),
        single("triton_feed_delivered_total", hub.delivered),
        single("triton_feed_past_reads_total", hub.past_reads),
        single("triton_feed_ok", 0 if hub.trouble else 1),
        single("triton_draining", int(hub.draining)),
        *_quotas(services),
        family("triton_disk_free_bytes", (((of,), free) for of, free, _ in disks)),
        family("triton_disk_bytes", (((of,), size) for of, _, size in disks)),
        *services.figures.families(),
    ]


def _by_name(counts: Counter[str]) -> Iterator[tuple[tuple[str], float]]:
    return (((name,), count) for name, count in counts.items())


def _quotas(services: Services) -> Iterator[Metric]:
    refused: Counter[tuple[str, str]] = Counter()
    # In the order in which they came, so that what is a series of its own stays one.
    for place, ((tenant, quota), count) in enumerate(services.gate.refused.items()):
        refused[tenant if place < MOST else OTHERS, quota] += count
    yield family("triton_quota_refused_total", refused.items())
    known = dict(islice(services.limits.limited().items(), MOST))
    limits = [
        ((tenant, quota), limit)
        for tenant, limits in known.items()
        for quota in limits.__struct_fields__
        if (limit := getattr(limits, quota)) is not None
    ]
    yield family("triton_quota_limit", limits)
    streams = (
        ((tenant,), services.admission.count("tenant", tenant))
        for tenant, limits in known.items()
        if limits.max_streams is not None
    )
    yield family("triton_quota_streams", streams)


def _disks(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """What for, bytes that are free, bytes in all."""
    archive = path_of(settings.archive_url)
    folders = {"data": Path(settings.data)}
    if archive is not None:
        folders["archive"] = archive
    for of, folder in folders.items():
        try:
            found = shutil.disk_usage(folder)
        except OSError:
            continue  # it is made later, or is not here
        yield of, found.free, found.total
