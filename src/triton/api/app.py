"""Owns the application: layers, routes, error shape and OpenAPI around one set of services."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from redis.exceptions import RedisError

import triton
from triton.api import failures, layers, openapi
from triton.api.documented import WIRE
from triton.api.routes import table
from triton.api.services import FeedOptions, Services, open_services
from triton.errors import TritonError, UnavailableError, no_answer
from triton.settings import Settings


def create_app(settings: Settings, *, feed: FeedOptions | None = None) -> FastAPI:
    """The API over the engines that the settings name; they are opened by the lifespan.

    `app.state.services` exists while it runs. When it cannot start, `app.state.failure` is the reason.
    Raises ConfigurationError for a setting that no layer can work with.
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

    app = _application(settings, lifespan)
    app.state.failure = None
    layers.install(app, settings)
    failures.install(app)
    table.install(app)
    openapi.install(app, WIRE)
    return app


def _application(settings: Settings, lifespan: Any) -> FastAPI:
    about: dict[str, Any] = {
        "title": "Triton",
        "version": triton.__version__,
        "summary": "Jobs with a complete, live, provable history.",
        "lifespan": lifespan,
        "redirect_slashes": False,
        # The framework's own spans would hold queries, in which there are stream tokens.
        "telemetry": {"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    }
    if not settings.docs:
        return FastAPI(openapi_url=None, **about)
    # The documentation pages with script and style from here: they work without any other host.
    shown = {"validatorUrl": None}
    return FastAPIOffline(static_url="/docs-assets", swagger_ui_parameters=shown, **about)


def drain(app: FastAPI) -> None:
    """Close every stream and send newcomers away; call it in the event loop's thread."""
    services = getattr(app.state, "services", None)
    if isinstance(services, Services):
        services.hub.drain()
