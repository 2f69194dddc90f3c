"""Owns what the routes of jobs share: the answer that shows a job, and the one that there is none."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from triton import keys
from triton.api import views
from triton.api.services import Services
from triton.api.wire import Json
from triton.errors import NotFoundError


async def show_job(services: Services, job: str, status: int) -> Response:
    view = await services.jobs.find(job)
    if view is None:
        raise unknown_job(job)
    partition = keys.partition_of(job, services.settings.partitions)
    cursor = services.framer.cursor(
        services.hub.epoch(partition), partition, view.position, view.tenant
    )
    line = views.to_json(msgspec.structs.replace(view, cursor=cursor))
    return Json(msgspec.Raw(line), status)


def unknown_job(job: str) -> NotFoundError:
    return NotFoundError(f"there is no job {job!r}", job=job)


def prefix_of(services: Services, job: str) -> str:
    settings = services.settings
    return keys.prefix(settings.namespace, keys.partition_of(job, settings.partitions))
