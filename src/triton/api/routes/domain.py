"""Owns the routes of the domain's records: the same five for every kind, and a prompt's versions."""

from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import uuid_utils
from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from triton.api import openapi, records, views
from triton.api.access import requires
from triton.api.etags import etag, expected, known
from triton.api.parameters import Name, Word
from triton.api.records import Asker
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.domain import store
from triton.domain.connection import tenant_connection
from triton.domain.kinds import (
    CLIENTS,
    DASHBOARD_TEMPLATES,
    ENHANCEMENTS,
    EVALUATIONS,
    EXECUTIONS,
    KINDS,
    MODELS,
    PROMPTS,
    PROSPECTS,
    ROI_MODELS,
    VALUE_PROPOSITIONS,
    Kind,
)
from triton.domain.records import (
    ClientStatus,
    Entry,
    ModelStatus,
    PromptStatus,
    PromptVersion,
    PromptVersions,
    PropositionStatus,
    Stage,
    TemplateStatus,
)
from triton.domain.run_records import Enhanced, ExecutionStatus
from triton.errors import NotFoundError
from triton.identity.permissions import Permission
from triton.identity.principal import Principal

# No deferred annotations here: the routes of a kind are made in a function, with its own dependencies.

RecordId = Annotated[UUID, Path(description="The record's id.")]
Chosen = dict[str, Any]

#: Everything of the domain that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [
    *(kind.write for kind in KINDS),
    *(kind.read for kind in KINDS),
    *(kind.page for kind in KINDS),
    PromptVersion,
    PromptVersions,
]
_ETAG: Final = {"ETag": {"schema": {"type": "string"}}}
IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of what was read; `*` is any version.",
    "schema": {"type": "string"},
}


def writing(permission: Permission) -> Any:
    """The dependency that answers who changes something."""

    async def asker(
        who: Annotated[Principal, requires(permission)],
        tenant: Name = None,
        reason: Annotated[
            str,
            Query(max_length=2000, pattern=r"^[^\x00]*$", description="Why; kept in the event."),
        ] = "",
    ) -> Asker:
        return Asker(who.by, who.writes_as(tenant), reason)

    return Depends(asker)


def reading(permission: Permission) -> Any:
    """The dependency that answers who looks: at one tenant, also who sees all of them."""

    async def asker(who: Annotated[Principal, requires(permission)], tenant: Name = None) -> Asker:
        return Asker(who.by, who.writes_as(tenant))

    return Depends(asker)


WRITING: Final = writing(Permission.DOMAIN_WRITE)
READING: Final = reading(Permission.DOMAIN_READ)


async def of_clients(
    name: Word = None, status: ClientStatus | None = None, industry: Word = None
) -> Chosen:
    return {"name": name, "status": status, "industry": industry}


async def of_value_propositions(
    client: UUID | None = None, status: PropositionStatus | None = None
) -> Chosen:
    return {"client": client, "status": status}


async def of_dashboard_templates(
    name: Word = None, status: TemplateStatus | None = None, audience: Word = None
) -> Chosen:
    return {"name": name, "status": status, "audience": audience}


async def of_prospects(
    client: UUID | None = None,
    template: UUID | None = None,
    stage: Stage | None = None,
    name: Word = None,
) -> Chosen:
    return {"client": client, "template": template, "stage": stage, "name": name}


async def of_roi_models(
    client: UUID | None = None, prospect: UUID | None = None, name: Word = None
) -> Chosen:
    return {"client": client, "prospect": prospect, "name": name}


async def of_prompts(name: Word = None, status: PromptStatus | None = None) -> Chosen:
    return {"name": name, "status": status}


async def of_models(
    name: Word = None, provider: Word = None, status: ModelStatus | None = None
) -> Chosen:
    return {"name": name, "provider": provider, "status": status}


async def of_executions(
    prompt: UUID | None = None,
    model: UUID | None = None,
    status: ExecutionStatus | None = None,
    job: Word = None,
) -> Chosen:
    return {"prompt": prompt, "model": model, "status": status, "job": job}


async def of_evaluations(
    execution: UUID | None = None, metric: Word = None, evaluator: Word = None
) -> Chosen:
    return {"execution": execution, "metric": metric, "evaluator": evaluator}


async def of_enhancements(
    resource: Enhanced | None = None,
    resource_id: UUID | None = None,
    execution: UUID | None = None,
) -> Chosen:
    return {"resource": resource, "resource_id": resource_id, "execution": execution}


_FILTERS: Final = {
    CLIENTS: of_clients,
    VALUE_PROPOSITIONS: of_value_propositions,
    DASHBOARD_TEMPLATES: of_dashboard_templates,
    PROSPECTS: of_prospects,
    ROI_MODELS: of_roi_models,
    PROMPTS: of_prompts,
    MODELS: of_models,
    EXECUTIONS: of_executions,
    EVALUATIONS: of_evaluations,
    ENHANCEMENTS: of_enhancements,
}


def routes_of(
    kind: Kind, filters: Any, *, writes: Any = WRITING, reads: Any = READING
) -> APIRouter:
    """The five routes of a kind, of a history three; `writes` and `reads` are dependencies that answer an
    Asker."""
    router = APIRouter(prefix=f"{views.PREFIX}/{kind.path}", tags=[kind.path.replace("-", " ")])
    words = kind.name.replace("_", " ")
    plural = kind.path.replace("-", " ")

    @router.post(
        "",
        status_code=201,
        name=f"create_{kind.name}",
        summary=f"Make {kind.said}",
        responses={
            201: {
                **openapi.answer(kind.read, "Made; `Location` is the record."),
                "headers": {**_ETAG, "Location": {"schema": {"type": "string"}}},
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
        home = f"{views.PREFIX}/{kind.path}/{made.id}"
        return _shown(made, 201, {"Location": home})

    @router.get(
        "",
        name=f"list_{kind.name}",
        summary=f"List {plural}, newest first",
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

    @router.get(
        "/{record}",
        name=f"read_{kind.name}",
        summary=f"Read {kind.said}",
        responses={
            200: {**openapi.answer(kind.read, f"The {words}."), "headers": _ETAG},
            304: {"description": "It is as If-None-Match knows it."},
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
        if known(request, found.version):
            return Response(status_code=304, headers={"ETag": etag(found.version)})
        return _shown(found)

    if kind.history:
        return router

    @router.put(
        "/{record}",
        name=f"replace_{kind.name}",
        summary=f"Replace {kind.said}",
        responses={
            200: {**openapi.answer(kind.read, "As it is now."), "headers": _ETAG},
            **openapi.problems(400, 404, 409, 412, 413, 428),
        },
        openapi_extra={"parameters": [IF_MATCH], **openapi.body(kind.write, kind.example)},
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
        return _shown(await records.replace(services, who, kind, record, written, versions))

    @router.delete(
        "/{record}",
        status_code=204,
        name=f"remove_{kind.name}",
        summary=f"Remove {kind.said}",
        responses={
            204: {"description": "It is gone."},
            **openapi.problems(404, 409, 412, 428),
        },
        openapi_extra={"parameters": [IF_MATCH]},
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

    return router


def _shown(record: Entry, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Json(record, status, {**(headers or {}), "ETag": etag(record.version)})


routers: Final = [routes_of(kind, filters) for kind, filters in _FILTERS.items()]
versions = APIRouter(prefix=f"{views.PREFIX}/prompts", tags=["prompts"])


@versions.get(
    "/{record}/versions",
    summary="List the versions of a prompt, newest first",
    responses={
        200: openapi.answer(PromptVersions, "Up to 1,000 versions."),
        **openapi.problems(404),
    },
)
async def list_versions(
    record: RecordId,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, READING],
) -> Response:
    async with tenant_connection(services.pool, who.tenant) as connection:
        found = await store.prompt_versions(connection, record, who.tenant)
    if not found:
        raise NotFoundError(f"there is no prompt {record} here", prompt=str(record))
    return Json(PromptVersions(items=found))


@versions.get(
    "/{record}/versions/{version}",
    summary="Read one version of a prompt",
    responses={
        200: openapi.answer(PromptVersion, "As it was; it never changes."),
        **openapi.problems(404),
    },
)
async def read_version(
    record: RecordId,
    version: Annotated[int, Path(ge=1, le=2**31 - 1)],
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, READING],
) -> Response:
    async with tenant_connection(services.pool, who.tenant) as connection:
        found = await store.prompt_versions(connection, record, who.tenant, version)
    if not found:
        raise NotFoundError(
            f"there is no version {version} of a prompt {record} here", prompt=str(record)
        )
    return Json(found[0])


routers.append(versions)
