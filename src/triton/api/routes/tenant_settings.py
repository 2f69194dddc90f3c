"""Owns the routes of what a tenant's own applications keep with it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.askers import reading, writing
from triton.api.etags import expected, shown, versioned
from triton.api.records import Asker, acting, check_document, digest_of, noted
from triton.api.services import Services, services_of
from triton.api.wire import read_json
from triton.domain import tenant_settings
from triton.domain.connection import tenant_connection
from triton.domain.tenant_settings import TenantSettings, TenantSettingsWrite
from triton.identity.permissions import Permission
from triton.job_view import PREFIX

#: Everything of them that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [TenantSettings, TenantSettingsWrite]
_READS: Final = reading(Permission.TENANT_READ)
_WRITES: Final = writing(Permission.TENANT_CONFIGURE)

router = APIRouter(prefix=f"{PREFIX}/tenant-settings", tags=["tenants"])


@router.get(
    "",
    summary="Read a tenant's settings",
    responses={
        200: {**openapi.answer(TenantSettings, "As they are."), "headers": openapi.ETAG},
        304: openapi.UNCHANGED,
        **openapi.problems(),
    },
)
async def read(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, _READS],
) -> Response:
    """Where none were written, they are empty and at version 0."""
    async with tenant_connection(services.pool, who.tenant) as connection:
        found = await tenant_settings.find(connection, who.tenant)
    return shown(request, found)


@router.put(
    "",
    summary="Replace a tenant's settings",
    responses={
        200: {**openapi.answer(TenantSettings, "As they are now."), "headers": openapi.ETAG},
        **openapi.problems(400, 412, 413, 428),
    },
    openapi_extra={
        "parameters": [openapi.IF_MATCH],
        **openapi.body(TenantSettingsWrite, {"settings": {"locale": "en-US"}}),
    },
)
async def replace(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, _WRITES],
) -> Response:
    """What its applications keep; what the tenant may use is a quota, and not set here."""
    versions = expected(request)
    written = await read_json(request, TenantSettingsWrite)
    check_document("settings", written.settings)
    async with acting(services, who) as (connection, act):
        made = await tenant_settings.put(connection, act, written.settings, versions)
        change: Any = "created" if made.version == 1 else "updated"
        await noted(
            services, who, "tenant_settings", who.tenant, change, made.version, digest_of(made)
        )
    return versioned(made)
