"""Owns the routes of the domain's records: the same five for every kind."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import uuid_utils
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from triton.api import openapi, records
from triton.api.askers import READING, WRITING, RecordId
from triton.api.etags import expected, shown, versioned
from triton.api.records import Asker
from triton.api.routes.domain_filters import FILTERS, Chosen
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.domain import store
from triton.domain.connection import tenant_connection
from triton.domain.kinds import KINDS, Kind
from triton.job_view import PREFIX

# No deferred annotations here: the routes of a kind are made in a function, with its own dependencies.

#: Everything of the domain that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [
    *(kind.write for kind in KINDS),
    *(kind.read for kind in KINDS),
    *(kind.page for kind in KINDS),
]


def routes_of(
    kind: Kind, filters: Any, *, writes: Any = WRITING, reads: Any = READING
) -> APIRouter:
    """The five routes of a kind, of a history three; `writes` and `reads` are dependencies that answer an
    Asker, `filters` one that answers what a list is filtered by."""
    router = APIRouter(prefix=f"{PREFIX}/{kind.path}", tags=[_plural(kind)])
    _create(router, kind, writes)
    _list(router, kind, reads, filters)
    _read(router, kind, reads)
    if not kind.history:
        _replace(router, kind, writes)
        _remove(router, kind, writes)
    return router


def _create(router: APIRouter, kind: Kind, writes: Any) -> None:
    @router.post(
        "",
        status_code=201,
        name=f"create_{kind.name}",
        summary=f"Make {kind.said}",
        responses={
            201: {
                **openapi.answer(kind.read, "Made; `Location` is the record."),
                "headers": {**openapi.ETAG, "Location": {"schema": {"type": "string"}}},
            },
            **openapi.problems(400, 409, 413),
        },
        openapi_extra=openapi.body(kind.write, kind.example),
    )
    async def create(
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, writes],
    ) -> Response:
        written = await records.read_written(request, kind)
        made = await records.create(services, who, kind, written, UUID(str(uuid_utils.uuid7())))
        home = f"{PREFIX}/{kind.path}/{made.id}"
        return versioned(made, 201, Location=home)


def _list(router: APIRouter, kind: Kind, reads: Any, filters: Any) -> None:
    @router.get(
        "",
        name=f"list_{kind.name}",
        summary=f"List {_plural(kind)}, newest first",
        responses={200: openapi.answer(kind.page, "A page."), **openapi.problems()},
    )
    async def page(
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, reads],
        chosen: Annotated[Chosen, Depends(filters)],
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
    ) -> Response:
        return Json(
            await records.listed(services, who.tenant, kind, chosen, after=next, limit=limit)
        )


def _read(router: APIRouter, kind: Kind, reads: Any) -> None:
    @router.get(
        "/{record}",
        name=f"read_{kind.name}",
        summary=f"Read {kind.said}",
        responses={
            200: {
                **openapi.answer(kind.read, f"The {kind.name.replace('_', ' ')}."),
                "headers": openapi.ETAG,
            },
            304: openapi.UNCHANGED,
            **openapi.problems(404),
        },
    )
    async def read(
        record: RecordId,
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, reads],
    ) -> Response:
        async with tenant_connection(services.pool, who.tenant) as connection:
            found = await store.find(connection, kind, record, who.tenant)
        return shown(request, found)


def _replace(router: APIRouter, kind: Kind, writes: Any) -> None:
    @router.put(
        "/{record}",
        name=f"replace_{kind.name}",
        summary=f"Replace {kind.said}",
        responses={
            200: {**openapi.answer(kind.read, "As it is now."), "headers": openapi.ETAG},
            **openapi.problems(400, 404, 409, 412, 413, 428),
        },
        openapi_extra={"parameters": [openapi.IF_MATCH], **openapi.body(kind.write, kind.example)},
    )
    async def replace(
        record: RecordId,
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, writes],
    ) -> Response:
        """What the body leaves out is its default."""
        versions = expected(request)
        written = await records.read_written(request, kind)
        return versioned(await records.replace(services, who, kind, record, written, versions))


def _remove(router: APIRouter, kind: Kind, writes: Any) -> None:
    @router.delete(
        "/{record}",
        status_code=204,
        name=f"remove_{kind.name}",
        summary=f"Remove {kind.said}",
        responses={
            204: {"description": "It is gone."},
            **openapi.problems(404, 409, 412, 428),
        },
        openapi_extra={"parameters": [openapi.IF_MATCH]},
    )
    async def remove(
        record: RecordId,
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, writes],
    ) -> Response:
        """Refused while another record refers to it."""
        await records.remove(services, who, kind, record, expected(request))
        return Response(status_code=204)


def _plural(kind: Kind) -> str:
    return kind.path.replace("-", " ")


routers: Final = [routes_of(kind, filters) for kind, filters in FILTERS.items()]
