"""Owns the routes of many jobs' events: one live stream, or the same as JSON with a long poll."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from triton.api import batches, openapi, streaming
from triton.api.access import requires
from triton.api.batches import EventBatch, LimitParameter, WaitParameter
from triton.api.parameters import aware
from triton.api.services import Services, services_of
from triton.api.stream_access import TokenParameter, narrowed, scope_of
from triton.errors import ValidationError
from triton.events.envelope import to_microseconds
from triton.events.types import TYPES
from triton.feed.contract import Refused, Stream
from triton.feed.wanted import MOST, Begin, Wanted
from triton.history.filters import Filter
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX
from triton.submit import MAX_NAME

router = APIRouter(prefix=f"{PREFIX}/events", tags=["events"])

Names = Annotated[list[str] | None, Query()]


def wanted_of(
    request: Request,
    who: Annotated[Principal, requires(Permission.EVENTS_READ)],
    job_id: Names = None,
    queue: Names = None,
    actor: Names = None,
    types: Annotated[list[str] | None, Query(alias="type")] = None,
    batch: Names = None,
    correlation_id: Names = None,
) -> Wanted:
    """Events that fit each kind of filter that is given: any of its values. `batch` and `correlation_id`
    mean the same. Raises ValidationError, ForbiddenError."""
    given = {"job_id": job_id, "queue": queue, "actor": actor, "type": types}
    correlations = [*(batch or ()), *(correlation_id or ())]
    problems = [
        {"field": name, "message": f"each value has 1 to {MAX_NAME} characters and no U+0000"}
        for name, values in {**given, "correlation_id": correlations}.items()
        if any(not value or len(value) > MAX_NAME or "\0" in value for value in values or ())
    ]
    unknown = sorted(set(types or ()) - set(TYPES))
    if unknown:
        known = ", ".join(name for name in TYPES if name.startswith("job."))
        problems.append({"field": "type", "message": f"{unknown[0][:80]!r} is none of {known}"})
    count = sum(len(values or ()) for values in given.values()) + len(correlations)
    if count > MOST:
        message = (
            f"{count} values, at most {MOST} fit one connection: filter by queue, batch or actor"
        )
        problems.append({"field": "job_id", "message": message})
    if problems:
        told = "; ".join(f"{each['field']}: {each['message']}" for each in problems)
        raise ValidationError(told, fields=problems)

    def some(values: list[str] | None) -> frozenset[str] | None:
        return frozenset(values) if values else None

    return narrowed(
        scope_of(request),
        Filter(
            tenants=frozenset((who.tenant,)) if who.tenant else None,
            jobs=some(job_id),
            queues=some(queue),
            actors=some(actor),
            types=some(types),
            correlations=some(correlations),
        ),
    )


class Start(msgspec.Struct, frozen=True):
    """Where a request begins: after a cursor, which the parameter `given` holds, or where `begin` says."""

    cursor: str | None
    begin: Begin
    given: str = "last_event_id"


def start_of(
    last_event_id: Annotated[
        str | None, Header(description="Resume: exactly the events after it. Wins over the query.")
    ] = None,
    last_event_id_query: Annotated[
        str | None,
        Query(alias="last_event_id", description="The same, for who can send no header."),
    ] = None,
    from_: Annotated[
        str,
        Query(
            alias="from",
            description="For who has no cursor: `now`, `earliest`, a cursor, or a time (RFC 3339).",
        ),
    ] = "now",
) -> Start:
    """Raises ValidationError for a time without a zone."""
    cursor = last_event_id or last_event_id_query or None
    if from_ in ("", "now"):
        return Start(cursor, "now")
    if from_ == "earliest":
        return Start(cursor, "earliest")
    try:
        when = aware("from", datetime.fromisoformat(from_))
    except ValueError:
        return Start(cursor, "now") if cursor else Start(from_, "now", given="from")
    return Start(cursor, max(0, to_microseconds(when)) if when else "now")


@router.get(
    "/subscribe",
    summary="Follow many jobs live (Server-Sent Events), or catch up as JSON",
    responses={
        200: {
            "description": (
                "With `Accept: application/json` an EventBatch; otherwise a stream of events as that of "
                "one job, with a snapshot of each job that was named, and `triton.end` once all of those "
                "are over."
            ),
            "content": {
                **openapi.EVENT_STREAM,
                "application/json": {"schema": openapi.reference(EventBatch)},
            },
        },
        204: {"description": "The jobs that were named are over and the cursor is at their end."},
        **openapi.problems(410),
        **streaming.REFUSAL,
    },
)
async def subscribe(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.EVENTS_READ)],
    wanted: Annotated[Wanted, Depends(wanted_of)],
    start: Annotated[Start, Depends(start_of)],
    limit: LimitParameter = 100,
    wait_ms: WaitParameter = 0,
    token: TokenParameter = None,  # noqa: ARG001
) -> Response:
    """Repeat a filter's name for several values. The same cursor works for both forms. A job of somebody else
    and one that never was look the same: there are no events of it."""
    if batches.wants_json(request):
        await services.limits.of(who.tenant)
        with streaming.counted(request, services, who):
            found = await services.many.catch_up(
                wanted,
                who.tenant,
                start.cursor,
                start.begin,
                limit=limit,
                wait=min(wait_ms / 1000, streaming.seconds_left(who)),
            )
            return batches.answer(found, given=start.given)

    async def open_stream() -> Stream | Refused | Literal["ended"]:
        return await services.many.open(wanted, who.tenant, start.cursor, start.begin)

    return await streaming.answer(request, services, who, open_stream, cursor=start.cursor)
