"""Owns what the routes of jobs share: how a job is shown, that there is none, how one is made smaller."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from triton import keys
from triton.api.services import Services
from triton.api.wire import Json
from triton.errors import NotFoundError
from triton.events.submission import Submission
from triton.identity.principal import Principal
from triton.job_view import JobView, to_json


async def visible_job(services: Services, who: Principal, job: str) -> JobView:
    """The job as it is now. Raises NotFoundError, also for what is another tenant's."""
    view = await services.jobs.find(job, who.reads(None), lambda tenant, _: who.sees(tenant))
    if view is None:
        raise unknown_job(job)
    return view


async def show_job(services: Services, who: Principal, job: str, status: int) -> Response:
    view = await visible_job(services, who, job)
    partition = keys.partition_of(job, services.settings.partitions)
    cursor = services.framer.cursor(
        services.hub.epoch(partition), partition, view.position, view.tenant
    )
    line = to_json(msgspec.structs.replace(view, cursor=cursor))
    return Json(msgspec.Raw(line), status)


def unknown_job(job: str) -> NotFoundError:
    return NotFoundError(f"there is no job {job!r}", job=job)


def prefix_of(services: Services, job: str) -> str:
    settings = services.settings
    return keys.prefix(settings.namespace, keys.partition_of(job, settings.partitions))


async def shrunk(services: Services, submission: Submission) -> Submission:
    """The submission as it goes into the log. Raises UnavailableError, ValidationError."""
    if len(submission.body) <= services.settings.inline_bytes:
        return submission
    return await asyncio.to_thread(services.payloads.shrink, submission)
