"""Owns the routes that command a job: cancel and requeue."""

from __future__ import annotations

from typing import Annotated

import uuid_utils
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.access import requires
from triton.api.job_answers import prefix_of, show_job, unknown_job, visible_job
from triton.api.parameters import JobId
from triton.api.problems import request_id_of
from triton.api.request_id import cause
from triton.api.requeueing import requeue as requeue_from_history
from triton.api.services import Services, services_of
from triton.api.submission import GivenReason, ReasonRequest, fresh_body
from triton.api.wire import read_json
from triton.audit.reasons import given
from triton.errors import ConflictError
from triton.events.client import send_async
from triton.events.heads import read_body
from triton.events.replies import answers
from triton.events.scripts import Call
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX, JobView

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    status_code=202,
    responses={
        200: openapi.answer(JobView, "Cancelled."),
        202: openapi.answer(JobView, "It runs: its worker was asked to stop."),
        **openapi.problems(400, 404, 409, 422),
    },
    openapi_extra=openapi.body(GivenReason, {"reason": "no longer needed"}, required=True),
)
async def cancel(
    job_id: JobId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_ACT)],
) -> Response:
    """What waits ends at once; what runs is asked to stop. 409 for a job that ended before. A reason is
    required: it is kept in the event."""
    reason = given((await read_json(request, ReasonRequest, optional=True)).reason)
    whose = identity.reads(None)
    if whose is not None:
        await visible_job(services, identity, job_id)
    call = services.scripts.cancel(
        prefix_of(services, job_id),
        [job_id],
        op=_op(request),
        by=identity.by,
        reason=reason,
        cause=cause(),
    )
    answer = await _one(services, call)
    if answer == "missing" and await services.jobs.find(job_id, whose) is None:
        raise unknown_job(job_id)
    if answer in ("ended", "missing"):
        raise ConflictError(f"job {job_id} has ended: there is nothing to cancel", job=job_id)
    view = await services.jobs.find(job_id, whose)
    return await show_job(
        services, identity, job_id, 200 if view and view.state == "cancelled" else 202
    )


@router.post(
    "/{job_id}/requeue",
    summary="Send a failed or cancelled job round again",
    status_code=202,
    responses={
        202: openapi.answer(JobView, "It waits again."),
        **openapi.problems(400, 404, 409, 422),
    },
    openapi_extra=openapi.body(GivenReason, {"reason": "the upstream is back"}, required=True),
)
async def requeue(
    job_id: JobId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_ACT)],
) -> Response:
    """The job begins another life under its id, with its retry policy from the start. A reason is required:
    it is kept in the event."""
    reason = given((await read_json(request, ReasonRequest, optional=True)).reason)
    whose = identity.reads(None)
    if whose is not None:
        await visible_job(services, identity, job_id)
    settings = services.settings
    body = await read_body(services.redis, settings.namespace, settings.partitions, job_id)
    call = services.scripts.requeue(
        prefix_of(services, job_id),
        [(job_id, fresh_body(body or b""))],
        op=_op(request),
        by=identity.by,
        reason=reason,
        cause=cause(),
    )
    answer = await _one(services, call)
    view = await services.jobs.find(job_id, whose)
    if view is None:
        raise unknown_job(job_id)
    if answer == "missing":
        answer = await requeue_from_history(
            services, job_id, op=_op(request), by=identity.by, reason=reason
        )
        view = await services.jobs.find(job_id, whose) or view
    if answer == "missing":
        raise ConflictError(
            f"job {job_id} ended too long ago: its history is gone; submit it anew", job=job_id
        )
    if answer == "held":
        raise ConflictError(
            f"another job has the unique key of job {job_id}: cancel that one first, or wait until it ended",
            job=job_id,
        )
    if answer != "ok":
        raise ConflictError(
            f"job {job_id} is {view.state}: only failed and cancelled jobs can be requeued",
            job=job_id,
            state=view.state,
        )
    return await show_job(services, identity, job_id, 202)


async def _one(services: Services, call: Call) -> str:
    return answers((await send_async(services.redis, [call]))[0])[0]


def _op(request: Request) -> str:
    """Names this request for the scripts. Not the client's own id: a client may send the same for all."""
    return f"{request_id_of(request)}:{uuid_utils.uuid7()}"
