"""Owns which routes there are, subject by subject, and which of them ask who calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI

from triton.api.access import authenticated
from triton.api.parameters import only_known
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
    metrics,
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

#: A slip in a parameter's name must not pass; only probes may add what they like.
_ANYBODY: Final = (Depends(only_known),)
_KNOWN: Final = (authenticated, *_ANYBODY)

#: In the order of the OpenAPI document.
_ROUTERS: Final[Sequence[tuple[Sequence[Any], Sequence[APIRouter]]]] = (
    # The service itself.
    (
        (),
        (root.router, clients.router, health.router, well_known.router, metrics.router),
    ),
    # Jobs, and what is done to them.
    (
        _KNOWN,
        (
            jobs.router,
            bulk.router,
            selections.router,
            commands.router,
            explain.router,
            results.router,
        ),
    ),
    # What happened, and what happens.
    (_KNOWN, (events.router, live.router, stream_tokens.router)),
    # Queues and documents.
    (_KNOWN, (dead_letters.router, queues.router, documents.router)),
    # Proof.
    (_KNOWN, (audit.router,)),
    # Tenants, and who may do what.
    (
        _KNOWN,
        (
            tenant.router,
            tenant_settings.router,
            dashboards.router,
            auth.router,
            users.router,
            keys.router,
        ),
    ),
    # Whose proof is a signature, and who logs in, who is nobody yet.
    (_ANYBODY, (webhooks.inbound, auth.entrance)),
    # What tenants keep.
    (_KNOWN, (*domain.routers, prompt_versions.router, *webhooks.routers)),
)


def install(app: FastAPI) -> None:
    for dependencies, routers in _ROUTERS:
        for router in routers:
            app.include_router(router, dependencies=dependencies)
