"""Owns the routes of API keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from triton.api import openapi, pages
from triton.api.access import requires
from triton.api.parameters import Name
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.events.envelope import to_datetime, to_microseconds
from triton.identity import key_making
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.identity.views import KeyMade, KeyPage, KeyWrite
from triton.job_view import PREFIX

router = APIRouter(prefix=f"{PREFIX}/keys", tags=["access"])


@router.post(
    "",
    status_code=201,
    summary="Make an API key",
    responses={
        201: openapi.answer(KeyMade, "Made; `key` is shown this once."),
        **openapi.problems(400, 404, 413),
    },
    openapi_extra=openapi.body(
        KeyWrite, {"name": "importer", "role": "developer", "scopes": ["jobs.submit"]}
    ),
)
async def make_key(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.KEYS_OWN)],
) -> Response:
    """It may no more than who makes it, and, where it is somebody's, no more than they may from now on: it
    ends with them."""
    made = await key_making.make(services.accounts, who, await read_json(request, KeyWrite))
    return Json(made, 201)


@router.get(
    "",
    summary="List API keys, the newest first",
    responses={200: openapi.answer(KeyPage, "A page."), **openapi.problems()},
)
async def list_keys(
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.KEYS_OWN)],
    tenant: Name = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    """One's own; with `keys.manage` everybody's."""
    last = pages.read(next) if next else None
    found = await key_making.page(
        services.accounts,
        who,
        tenant=tenant,
        last_at=to_datetime(last.at) if last else None,
        last=last.id if last else None,
        limit=pages.asked(limit),
    )
    shown, more = pages.cut(
        found, limit, lambda one: pages.Keys(to_microseconds(one.created_at), one.prefix)
    )
    return Json(KeyPage(keys=list(shown), next=more))


@router.delete(
    "/{prefix}",
    status_code=204,
    summary="Revoke an API key",
    responses={
        204: {"description": "It lets nobody in any more."},
        **openapi.problems(404),
    },
)
async def revoke_key(
    prefix: Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[a-z0-9]+$")],
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.KEYS_OWN)],
    reason: Annotated[str, Query(max_length=2000, pattern=r"^[^\x00]*$")] = "",
) -> Response:
    """At once in the process that answers, in the others within `TRITON_ACCESS_CACHE_MS`."""
    await key_making.revoke(services.accounts, who, prefix, reason)
    return Response(status_code=204)
