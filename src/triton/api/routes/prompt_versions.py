"""Owns the routes of a prompt's versions, which never change."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from triton.api import openapi
from triton.api.askers import READING, RecordId
from triton.api.records import Asker
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.domain import store
from triton.domain.connection import tenant_connection
from triton.domain.records import PromptVersion, PromptVersions
from triton.errors import NotFoundError
from triton.job_view import PREFIX

#: Everything of them that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [PromptVersion, PromptVersions]

router = APIRouter(prefix=f"{PREFIX}/prompts", tags=["prompts"])


@router.get(
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


@router.get(
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
