"""Owns the routes of jobs: submit, read, list."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.accepting import accept
from triton.api.access import requires
from triton.api.etags import tagged
from triton.api.job_answers import show_job, unknown_job
from triton.api.job_reader import Filter
from triton.api.parameters import JobId, Name, Since, Until, aware
from triton.api.request_id import current_request
from triton.api.services import Services, services_of
from triton.api.submission import SubmitReply, SubmitRequest
from triton.api.wire import Json, read_json
from triton.events.submission import Submission
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX, JobView, links_of, to_json
from triton.submit import Caller
from triton.uniqueness import MAX_KEY

State = Literal["scheduled", "pending", "processing", "completed", "failed", "cancelled"]


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first. `next` goes into the next request; null on the last page."""

    jobs: list[JobView]
    next: str | None


router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    responses={
        202: {
            **openapi.answer(SubmitReply, "Accepted; `Location` is the job."),
            "headers": {"Location": {"schema": {"type": "string"}}},
        },
        **openapi.problems(400, 409, 413, 429),
    },
    openapi_extra=openapi.body(
        SubmitRequest,
        {"actor": "documents.extract", "kwargs": {"document": "the id from POST /documents"}},
    ),
)
async def submit(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_SUBMIT)],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=MAX_KEY, description="The same key is the same job."),
    ] = None,
    traceparent: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """The same `Idempotency-Key` of the same tenant never makes a second job: it answers with the first,
    marked `existing`; with another actor or other arguments it is a 422. A 409 says that the job was to be
    unique and is not, or that its queue drains."""
    wanted = await read_json(request, SubmitRequest)
    caller = Caller(
        identity.by,
        tenant=identity.writes_as(wanted.options.tenant),
        traceparent=traceparent,
        correlation=current_request(),
    )
    submission, job, existing = await accept(
        services, wanted, caller, idempotency_key=idempotency_key or ""
    )
    reply = await _existing(services, identity, job) if existing else _accepted(submission)
    return Json(reply, 202, {"Location": links_of(job)["self"]})


@router.get(
    "",
    summary="List jobs, newest first",
    responses={
        200: {**openapi.answer(JobPage, "A page of jobs."), "headers": openapi.ETAG},
        304: openapi.UNCHANGED,
        **openapi.problems(),
    },
    openapi_extra=openapi.IF_NONE_MATCH,
)
async def list_jobs(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
    status: Annotated[list[State] | None, Query(description="May be repeated.")] = None,
    queue: Name = None,
    actor: Name = None,
    tenant: Name = None,
    submitted_after: Since = None,
    submitted_before: Until = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    """As far as the projector has come: a job that was submitted a moment ago may not be listed yet."""
    chosen = Filter(
        states=status,
        queue=queue,
        actor=actor,
        tenant=identity.reads(tenant),
        after=aware("submitted_after", submitted_after),
        before=aware("submitted_before", submitted_before),
    )
    found, following = await services.jobs.page(chosen, next_page=next, limit=limit)
    shown = [msgspec.Raw(to_json(view)) for view in found]
    return tagged(request, Json({"jobs": shown, "next": following}))


@router.get(
    "/{job_id}",
    summary="Read a job",
    responses={
        200: {**openapi.answer(JobView, "The job as it is now."), "headers": openapi.ETAG},
        304: openapi.UNCHANGED,
        **openapi.problems(404),
    },
    openapi_extra=openapi.IF_NONE_MATCH,
)
async def read(
    job_id: JobId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
) -> Response:
    """Found from the moment it was submitted, however far behind the projectors are."""
    return tagged(request, await show_job(services, identity, job_id, 200))


async def _existing(services: Services, who: Principal, job: str) -> SubmitReply:
    view = await services.jobs.find(job, who.reads(None))
    if view is None:
        raise unknown_job(job)
    return SubmitReply(
        id=job,
        state=view.state,
        actor=view.actor,
        queue=view.queue,
        tenant=view.tenant,
        existing=True,
        correlation=view.correlation or job,
        links=view.links,
    )


def _accepted(submission: Submission) -> SubmitReply:
    return SubmitReply(
        id=submission.job,
        state="scheduled" if submission.delay or submission.due else "pending",
        actor=submission.actor,
        queue=submission.queue,
        tenant=submission.tenant,
        existing=False,
        correlation=submission.correlation or submission.job,
        links=links_of(submission.job),
    )
