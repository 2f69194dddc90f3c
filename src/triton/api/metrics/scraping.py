"""Owns one scrape: all sources asked at once, each with its own deadline, in Prometheus' text format."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from triton.api.metrics.families import family
from triton.api.metrics.of_process import of_process
from triton.api.metrics.of_redis import of_log, of_queues, of_server
from triton.api.metrics.of_stores import of_archive, of_failed_jobs, of_projectors
from triton.api.services import Services
from triton.observe.logger import get_logger

#: Seconds that one source may take.
_TIMEOUT: Final = 3.0
_SOURCES: Final[dict[str, Callable[[Services], Awaitable[list[Metric]]]]] = {
    "log": of_log,
    "redis": of_server,
    "queues": of_queues,
    "projectors": of_projectors,
    "failed_jobs": of_failed_jobs,
    "archive": of_archive,
}
_log = get_logger("triton.api")


async def scrape(services: Services, own: Sequence[Metric]) -> bytes:
    """Everything there is. A source that does not answer is left out, and said to be."""
    found = await asyncio.gather(*(_asked(name, ask(services)) for name, ask in _SOURCES.items()))
    answers = list(zip(_SOURCES, found, strict=True))
    registry = CollectorRegistry()
    registry.register(
        _Found(
            [
                *own,
                *await of_process(services),
                family("triton_scrape_ok", (((name,), one is not None) for name, one in answers)),
                *(metric for _, one in answers for metric in one or ()),
            ]
        )
    )
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
        _log.warning("metrics_source_away", source=name, reason=str(error) or repr(error))
        return None
