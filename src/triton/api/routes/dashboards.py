"""Owns the routes of what prospects' dashboards show: the newest data of each template."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from triton.api import openapi, pages
from triton.api.askers import READING, WRITING, RecordId
from triton.api.etags import expected, is_first, shown, versioned
from triton.api.records import Asker, acting, check_document, digest_of, noted
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.domain import prospect_data, store
from triton.domain.connection import tenant_connection
from triton.domain.kinds import PROSPECTS
from triton.domain.prospect_data import (
    ProspectDashboard,
    ProspectDashboardPage,
    ProspectDashboardWrite,
)
from triton.errors import PreconditionRequiredError
from triton.job_view import PREFIX

#: Everything of them that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [
    ProspectDashboard,
    ProspectDashboardPage,
    ProspectDashboardWrite,
]
_EVENT: Final = "prospect_dashboard"
_PRECONDITIONS: Final[list[dict[str, Any]]] = [
    {**openapi.IF_MATCH, "required": False},
    {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "`*`: only where there is none yet.",
        "schema": {"type": "string"},
    },
]
TemplateId = Annotated[UUID, Path(description="The dashboard template's id.")]

router = APIRouter(prefix=f"{PREFIX}/prospects", tags=["prospects"])


@router.get(
    "/{record}/dashboards",
    summary="List what a prospect's dashboards show",
    responses={
        200: openapi.answer(ProspectDashboardPage, "A page, by template."),
        **openapi.problems(404),
    },
)
async def list_dashboards(
    record: RecordId,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, READING],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    after = _template(next) if next is not None else None
    async with tenant_connection(services.pool, who.tenant) as connection:
        await store.find(connection, PROSPECTS, record, who.tenant)
        found = await prospect_data.page(
            connection, who.tenant, record, after=after, limit=pages.asked(limit)
        )
    shown, following = pages.cut(found, limit, lambda one: pages.Keys(0, str(one.template)))
    return Json(ProspectDashboardPage(items=list(shown), next=following))


@router.get(
    "/{record}/dashboards/{template}",
    summary="Read what a prospect's dashboard shows",
    responses={
        200: {**openapi.answer(ProspectDashboard, "The newest data."), "headers": openapi.ETAG},
        304: openapi.UNCHANGED,
        **openapi.problems(404),
    },
)
async def read_dashboard(
    record: RecordId,
    template: TemplateId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, READING],
) -> Response:
    async with tenant_connection(services.pool, who.tenant) as connection:
        found = await prospect_data.find(connection, who.tenant, record, template)
    return shown(request, found)


@router.put(
    "/{record}/dashboards/{template}",
    summary="Say what a prospect's dashboard shows",
    responses={
        200: {**openapi.answer(ProspectDashboard, "As it is now."), "headers": openapi.ETAG},
        201: {**openapi.answer(ProspectDashboard, "The first data."), "headers": openapi.ETAG},
        **openapi.problems(400, 404, 412, 413, 428),
    },
    openapi_extra={
        "parameters": _PRECONDITIONS,
        **openapi.body(ProspectDashboardWrite, {"data": {"pmpm": 412.5}}),
    },
)
async def put_dashboard(
    record: RecordId,
    template: TemplateId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, WRITING],
) -> Response:
    """With `If-None-Match: *` it is the first, with `If-Match` it replaces what was read."""
    first = is_first(request)
    versions = None if first else _expected(request)
    written = await read_json(request, ProspectDashboardWrite)
    check_document("data", written.data)
    async with acting(services, who) as (connection, act):
        if first:
            made = await prospect_data.add(connection, act, record, template, written)
        else:
            made = await prospect_data.replace(connection, act, record, template, written, versions)
        change: Any = "created" if first else "updated"
        await noted(services, who, _EVENT, _name(made), change, made.version, digest_of(made))
    return versioned(made, 201 if first else 200)


@router.delete(
    "/{record}/dashboards/{template}",
    status_code=204,
    summary="Remove what a prospect's dashboard shows",
    responses={204: {"description": "It is gone."}, **openapi.problems(404, 412, 428)},
    openapi_extra={"parameters": [openapi.IF_MATCH]},
)
async def remove_dashboard(
    record: RecordId,
    template: TemplateId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, WRITING],
) -> Response:
    versions = expected(request)
    async with acting(services, who) as (connection, act):
        gone = await prospect_data.remove(connection, act, record, template, versions)
        await noted(services, who, _EVENT, _name(gone), "removed", gone.version, digest_of(gone))
    return Response(status_code=204)


def _expected(request: Request) -> list[int] | None:
    try:
        return expected(request)
    except PreconditionRequiredError as error:
        raise PreconditionRequiredError(
            "send If-Match with the ETag of what was read (`*` for any version), or `If-None-Match: *` where "
            "there is nothing yet"
        ) from error


def _template(following: str) -> UUID:
    try:
        return UUID(pages.read(following).id)
    except ValueError as error:
        raise pages.invalid(following) from error


def _name(shown: ProspectDashboard) -> str:
    return f"{shown.prospect}:{shown.template}"
