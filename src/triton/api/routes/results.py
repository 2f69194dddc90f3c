"""Owns the route that answers a job's result itself, wherever it is kept."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from triton.api import openapi
from triton.api.access import requires
from triton.api.job_answers import visible_job
from triton.api.parameters import JobId
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.errors import ConflictError
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX
from triton.references import reference_in

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/result",
    summary="Read the result of a completed job",
    responses={
        200: {
            "description": "The result, as JSON; null for an actor that returned none.",
            "content": {"application/json": {}},
        },
        **openapi.problems(404, 409),
    },
)
async def result_of(
    job_id: JobId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
) -> Response:
    """The same as `result` of the job, with one difference: a result of more than 64 KiB is in the archive,
    and the job shows a reference (`triton.archived`); here it is fetched. 409 says that the job has not
    completed."""
    view = await visible_job(services, identity, job_id)
    if view.state != "completed":
        raise ConflictError(
            f"job {job_id} is {view.state}: only a completed job has a result", state=view.state
        )
    reference = reference_in(view.result)
    if reference is None:
        return Json(view.result)
    packed = await asyncio.to_thread(services.payloads.fetch, reference)
    return Json(msgspec.msgpack.decode(packed))
