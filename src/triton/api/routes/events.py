"""Owns the routes of one job's events: its history as JSON, and the live stream."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from triton import keys
from triton.api import batches, openapi, streaming
from triton.api.access import requires
from triton.api.batches import EventBatch, LimitParameter, WaitParameter
from triton.api.job_answers import unknown_job, visible_job
from triton.api.parameters import JobId
from triton.api.services import Services, services_of
from triton.api.stream_access import TokenParameter, check_job, is_shown, scope_of
from triton.api.wire import Json
from triton.events.render import EventView, Shown
from triton.feed.contract import Refused, Stream
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A job's events, oldest first. `next` is the `after_version` of the next page, null on the last."""

    events: list[EventView]
    next: int | None


router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["events"])


@router.get(
    "/{job_id}/events",
    summary="A job's history",
    responses={200: openapi.answer(EventPage, "A page of events."), **openapi.problems(404)},
)
async def history(
    job_id: JobId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.EVENTS_READ)],
    after_version: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Complete up to the moment of the request: the index as far as the projector has come, then the log."""
    view = await visible_job(services, identity, job_id)
    partition = keys.partition_of(job_id, services.settings.partitions)
    found: list[Shown] = []
    position, version = 0, after_version
    while position < view.position and len(found) < limit:
        page = await services.history.page(
            job_id,
            partition,
            position,
            version=version,
            until=view.position,
            limit=limit - len(found),
        )
        # The log knows no versions, so a page from it begins with the job's first event.
        found += [shown for shown in page.events if shown.version > version]
        version = max(version, page.events[-1].version if page.events else 0)
        position = page.position
    more = found and found[-1].version < view.version
    return Json(
        {
            "events": [msgspec.Raw(shown.json) for shown in found],
            "next": found[-1].version if more else None,
        }
    )


@router.get(
    "/{job_id}/subscribe",
    summary="Follow a job live (Server-Sent Events), or catch up as JSON",
    responses={
        200: {
            "description": (
                "With `Accept: application/json` an EventBatch, without a cursor from the job's first event; "
                "otherwise a stream of events. Data events have no name; their JSON is an EventView. Control "
                "events: `triton.hello` (primes the cursor), `triton.reset` (the cursor cannot be resumed "
                "from: `reason`), `triton.snapshot` (a JobView), `triton.caught-up`, `triton.cursor` (the "
                "log moved on without this job), `triton.end` (the job is over, do not come back), "
                "`triton.bye` (come back after `retry_ms`)."
            ),
            "content": {
                **openapi.EVENT_STREAM,
                "application/json": {"schema": openapi.reference(EventBatch)},
            },
        },
        204: {"description": "The job is over and the cursor is at its end: do not come back."},
        **openapi.problems(404, 410),
        **streaming.REFUSAL,
    },
)
async def subscribe(
    request: Request,
    job_id: JobId,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.EVENTS_READ)],
    last_event_id: Annotated[
        str | None, Header(description="Resume: exactly the events after it. Wins over the query.")
    ] = None,
    last_event_id_query: Annotated[
        str | None,
        Query(alias="last_event_id", description="The same, for who can send no header."),
    ] = None,
    limit: LimitParameter = 100,
    wait_ms: WaitParameter = 0,
    token: TokenParameter = None,  # noqa: ARG001
) -> Response:
    """Once there is a job, every answer is one that a browser's EventSource survives: overload, a drain and
    a Redis that is away are `200`, a `retry:` line, `triton.bye` and a close. A job that never was is 404,
    which ends an EventSource: there is nothing to wait for. The same cursor works for both forms."""
    cursor = last_event_id or last_event_id_query or None
    scope = scope_of(request)
    check_job(scope, job_id)

    sees = partial(is_shown, who, scope, job_id)

    if batches.wants_json(request):
        await services.limits.of(who.tenant)
        with streaming.counted(request, services, who):
            wait = min(wait_ms / 1000, streaming.seconds_left(who))
            found = await services.feed.catch_up(job_id, cursor, sees=sees, limit=limit, wait=wait)
            if found == "unknown":
                raise unknown_job(job_id)
            return batches.answer(found)

    async def open_stream() -> Stream | Refused | Literal["ended"]:
        opened = await services.feed.open(job_id, cursor, sees=sees)
        if opened == "unknown":
            raise unknown_job(job_id)
        return opened

    return await streaming.answer(request, services, who, open_stream, cursor=cursor)
