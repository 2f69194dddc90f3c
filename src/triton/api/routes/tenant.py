"""Owns the routes of a tenant's quotas: read by the tenant, set by the platform."""

from __future__ import annotations

import uuid
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from msgspec import Meta
from starlette.responses import Response

from triton.api import openapi, quotas
from triton.api.access import requires
from triton.api.parameters import Name
from triton.api.quotas import QuotaUse
from triton.api.request_id import current_request
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.audit.noting import note
from triton.domain.connection import owner_connection
from triton.domain.statements import sql
from triton.events.types import QuotaSet
from triton.identity import organizations
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX

_BIGGEST: Final = 2**53


class QuotaWrite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the tenant may use; what is left out or null is no limit."""

    #: A second's jobs may come at once; many in one call are taken whole and make the tenant wait afterwards.
    jobs_per_second: Annotated[float, Meta(ge=0.001, le=1_000_000)] | None = None
    #: Jobs that are not ended.
    max_pending: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    #: Bytes of all documents.
    max_stored_bytes: Annotated[int, Meta(ge=0, le=_BIGGEST)] | None = None
    #: Open streams in one process of the API.
    max_streams: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    reason: Annotated[str, Meta(max_length=2000, pattern=r"^[^\x00]*$")] = ""


router = APIRouter(prefix=f"{PREFIX}/quotas", tags=["quotas"])


@router.get(
    "",
    summary="What a tenant may use, and what it uses",
    responses={200: openapi.answer(QuotaUse, "As it is now."), **openapi.problems()},
)
async def read(
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.TENANT_READ)],
    tenant: Name = None,
) -> Response:
    return Json(await quotas.use(services, who.writes_as(tenant)))


@router.put(
    "",
    summary="Say what a tenant may use",
    responses={200: openapi.answer(QuotaUse, "As it is now."), **openapi.problems(400)},
    openapi_extra=openapi.body(QuotaWrite, {"jobs_per_second": 50, "max_pending": 10000}),
)
async def replace(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.TENANTS_MANAGE)],
    tenant: Name = None,
) -> Response:
    """It holds in every process of the API within five seconds."""
    wanted = await read_json(request, QuotaWrite)
    whose = who.writes_as(tenant)
    values = {**msgspec.structs.asdict(wanted), "tenant": whose, "by": who.by}
    await organizations.ensure(services.accounts, who.by, whose)
    async with owner_connection(services.pool, whose) as connection:
        await connection.execute(sql("set_limits"), values)
        await note(
            services.redis,
            services.scripts,
            services.settings.namespace,
            QuotaSet(**msgspec.structs.asdict(wanted)),
            op=f"quota:{uuid.uuid4().hex}",
            by=who.by,
            tenant=whose,
            correlation=current_request(),
        )
    services.limits.forget(whose)
    return Json(await quotas.use(services, whose))
