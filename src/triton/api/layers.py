"""Owns the layers around the routes that each request passes, and their order."""

from __future__ import annotations

from fastapi import FastAPI

from triton.api import cors
from triton.api.access_log import AccessLogMiddleware
from triton.api.encoded_slash import EncodedSlashMiddleware
from triton.api.failures import CrashMiddleware
from triton.api.head_requests import HeadMiddleware
from triton.api.http_metrics import HttpMetrics, MetricsMiddleware
from triton.api.rate_limits import RateLimitMiddleware, rate_of
from triton.api.request_id import RequestIdMiddleware
from triton.api.security_headers import SecurityHeadersMiddleware
from triton.api.time_limits import TimeLimitMiddleware
from triton.observe import tracing
from triton.settings import Settings


def install(app: FastAPI, settings: Settings) -> None:
    """From the inside out; who asks is a dependency of the routes. `app.state.http_metrics` has the counts.

    Raises ConfigurationError for a rate or an origin that is none.
    """
    app.add_middleware(HeadMiddleware)
    app.add_middleware(EncodedSlashMiddleware)
    app.add_middleware(CrashMiddleware)
    app.add_middleware(TimeLimitMiddleware, seconds=settings.request_ms / 1000)
    _limit_rates(app, settings)
    app.state.http_metrics = metrics = HttpMetrics()
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(SecurityHeadersMiddleware, hsts_seconds=settings.hsts_seconds)
    app.add_middleware(RequestIdMiddleware)
    if (spans := tracing.active()) is not None:
        from triton.api.request_spans import RequestSpansMiddleware

        app.add_middleware(RequestSpansMiddleware, spans=spans)
    cors.install(app, cors.origins_of(settings.cors_origins))


def _limit_rates(app: FastAPI, settings: Settings) -> None:
    per_key = rate_of(settings.rate_limit_key, "rate_limit_key")
    per_address = rate_of(settings.rate_limit_address, "rate_limit_address")
    if per_key or per_address:
        app.add_middleware(
            RateLimitMiddleware,
            namespace=settings.namespace,
            per_key=per_key,
            per_address=per_address,
        )
