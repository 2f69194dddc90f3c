"""Owns the application: routers, error shape, request ids and OpenAPI around one set of services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import psycopg
from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline
from redis.exceptions import RedisError

import triton
from triton.api import cors, failures, openapi
from triton.api.access import authenticated
from triton.api.access_log import AccessLogMiddleware
from triton.api.batches import EventBatch
from triton.api.bulk import BulkCall, BulkReply
from triton.api.dead_letters import DeadLetterCounts, DeadLetterPage
from triton.api.encoded_slash import EncodedSlashMiddleware
from triton.api.head_requests import HeadMiddleware
from triton.api.http_metrics import HttpMetrics, MetricsMiddleware
from triton.api.parameters import only_known
from triton.api.queues import QueueList, QueueView, WorkerList
from triton.api.quotas import QuotaUse
from triton.api.rate_limits import RateLimitMiddleware, rate_of
from triton.api.request_id import RequestIdMiddleware
from triton.api.routes import (
    audit,
    auth,
    bulk,
    clients,
    commands,
    dashboards,
    dead_letters,
    documents,
    domain,
    events,
    explain,
    health,
    jobs,
    keys,
    live,
    prompt_versions,
    queues,
    results,
    root,
    selections,
    stream_tokens,
    tenant,
    tenant_settings,
    users,
    webhooks,
    well_known,
)
from triton.api.routes import metrics as prometheus
from triton.api.security_headers import SecurityHeadersMiddleware
from triton.api.selection import Acted, DryRun, SelectionRequest
from triton.api.services import FeedOptions, Services, open_services
from triton.api.submission import GivenReason, ReasonRequest, SubmitReply, SubmitRequest
from triton.api.time_limits import TimeLimitMiddleware
from triton.audit.differences import Difference
from triton.audit.timeline import JobAt, JobsAt
from triton.audit.why import Why
from triton.errors import TritonError, UnavailableError, no_answer
from triton.events.render import EventView
from triton.explain import Explanation
from triton.identity.sessions import Pair
from triton.identity.views import KeyMade, KeyPage, KeyWrite, Login, Me, PasswordChange, Refresh
from triton.job_view import JobView
from triton.observe import tracing
from triton.settings import Settings

#: Everything that is on the wire as JSON.
_WIRE: Final[list[type[msgspec.Struct]]] = [
    Acted,
    BulkCall,
    BulkReply,
    DeadLetterCounts,
    Difference,
    DeadLetterPage,
    DryRun,
    Explanation,
    *documents.WIRE,
    events.EventPage,
    EventBatch,
    EventView,
    health.Health,
    health.Readiness,
    jobs.JobPage,
    JobView,
    JobAt,
    JobsAt,
    Why,
    QueueList,
    QueueView,
    GivenReason,
    ReasonRequest,
    root.Service,
    SelectionRequest,
    stream_tokens.StreamTokenReply,
    stream_tokens.StreamTokenRequest,
    SubmitReply,
    SubmitRequest,
    WorkerList,
    *domain.WIRE,
    *prompt_versions.WIRE,
    *dashboards.WIRE,
    *tenant_settings.WIRE,
    *webhooks.WIRE,
    well_known.KeySet,
    QuotaUse,
    tenant.QuotaWrite,
    *users.WIRE,
    Login,
    Refresh,
    Pair,
    Me,
    PasswordChange,
    KeyMade,
    KeyPage,
    KeyWrite,
]


def create_app(settings: Settings, *, feed: FeedOptions | None = None) -> FastAPI:
    """The API over the engines that the settings name; they are opened by the lifespan.

    `app.state.services` exists while it runs. When it cannot start, `app.state.failure` is the reason.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_services(settings, feed or FeedOptions()) as services:
                app.state.services = services
                yield
        except TritonError as error:
            app.state.failure = error
            raise
        except (RedisError, psycopg.Error) as error:
            engine = "Redis" if isinstance(error, RedisError) else "PostgreSQL"
            app.state.failure = UnavailableError(no_answer(engine, error))
            raise

    # The documentation pages with script and style from here: they work without any other host.
    about: dict[str, Any] = {
        "title": "Triton",
        "version": triton.__version__,
        "summary": "Jobs with a complete, live, provable history.",
        "lifespan": lifespan,
        "redirect_slashes": False,
        # The framework's own spans would hold queries, in which there are stream tokens.
        "telemetry": {"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    }
    if settings.docs:
        shown = {"validatorUrl": None}
        about |= {"static_url": "/docs-assets", "swagger_ui_parameters": shown}
        app = FastAPIOffline(**about)
    else:
        app = FastAPI(openapi_url=None, **about)
    app.state.failure = None
    # From the inside out. Around them all is `cors`; who asks is a dependency of the routes.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(EncodedSlashMiddleware)
    app.add_middleware(failures.CrashMiddleware)
    app.add_middleware(TimeLimitMiddleware, seconds=settings.request_ms / 1000)
    per_key = rate_of(settings.rate_limit_key, "rate_limit_key")
    per_address = rate_of(settings.rate_limit_address, "rate_limit_address")
    if per_key or per_address:
        app.add_middleware(
            RateLimitMiddleware,
            namespace=settings.namespace,
            per_key=per_key,
            per_address=per_address,
        )
    app.state.http_metrics = metrics = HttpMetrics()
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(AccessLogMiddleware)
    app.add_middleware(SecurityHeadersMiddleware, hsts_seconds=settings.hsts_seconds)
    app.add_middleware(RequestIdMiddleware)
    if (spans := tracing.active()) is not None:
        from triton.api.request_spans import RequestSpansMiddleware

        app.add_middleware(RequestSpansMiddleware, spans=spans)
    cors.install(app, cors.origins_of(settings.cors_origins))
    failures.install(app)
    app.include_router(root.router)
    app.include_router(clients.router)
    # Probes may add what they like; elsewhere a slip in a parameter's name must not pass.
    app.include_router(health.router)
    app.include_router(well_known.router)
    app.include_router(prometheus.router)
    for module in (
        jobs,
        bulk,
        selections,
        commands,
        explain,
        results,
        events,
        live,
        stream_tokens,
        dead_letters,
        queues,
        documents,
        audit,
        tenant,
        tenant_settings,
        dashboards,
        auth,
        users,
        keys,
    ):
        app.include_router(module.router, dependencies=[authenticated, Depends(only_known)])
    app.include_router(webhooks.inbound, dependencies=[Depends(only_known)])
    # Who logs in is nobody yet.
    app.include_router(auth.entrance, dependencies=[Depends(only_known)])
    for router in (*domain.routers, prompt_versions.router, *webhooks.routers):
        app.include_router(router, dependencies=[authenticated, Depends(only_known)])
    openapi.install(app, _WIRE)
    return app


def drain(app: FastAPI) -> None:
    """Close every stream and send newcomers away; call it in the event loop's thread."""
    services = getattr(app.state, "services", None)
    if isinstance(services, Services):
        services.hub.drain()
