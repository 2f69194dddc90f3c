"""Owns what a process counts of its own requests, by the route's template and never by its path.

The figures are of one process, and so is `/metrics`: each API process is scraped at its own address, and
Prometheus adds them up. That needs no shared files, and loses nothing when a process ends.
"""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triton.api.metrics.catalogue import BY_NAME

_REQUESTS: Final = BY_NAME["triton_http_requests_total"]
_SECONDS: Final = BY_NAME["triton_http_request_seconds"]
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Of requests that no route takes: their paths are anything.
UNROUTED: Final = "(none)"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """The registry of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            _REQUESTS.name,
            _REQUESTS.about,
            _REQUESTS.labels,
            registry=self.registry,
        )
        self._seconds = Histogram(
            _SECONDS.name,
            _SECONDS.about,
            _SECONDS.labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def collect(self) -> list[Metric]:
        """What there is now, without the times at which each series began: nobody asks for them."""
        families = list(self.registry.collect())
        for family in families:
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
        return families

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        method = method if method in _METHODS else "(other)"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)


class MetricsMiddleware:
    """Counts each answer when it begins."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", UNROUTED)
                seconds = time.perf_counter() - begun
                self._metrics.answered(route, scope["method"], message["status"], seconds)
            await send(message)

        await self._app(scope, receive, send_counted)
