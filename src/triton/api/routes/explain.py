"""Owns the route that says why a job is where it is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from triton.api import openapi, quotas
from triton.api.access import requires
from triton.api.explaining import facts_of
from triton.api.job_answers import visible_job
from triton.api.parameters import JobId
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.explain import Explanation, explain
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/explain",
    summary="Why the job waits, ran again, failed or was cancelled",
    responses={200: openapi.answer(Explanation, "In plain words."), **openapi.problems(404)},
)
async def explain_job(
    job_id: JobId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
) -> Response:
    """From the job's head, its queue and its history, as they are now: `summary` says where it is and why,
    `because` the events that led there (the newest 50, without progress and output), `next` what follows."""
    view = await visible_job(services, identity, job_id)
    found = explain(await facts_of(services, view))
    limits = await quotas.told(services, view.tenant)
    return Json(msgspec.structs.replace(found, limits=limits))
