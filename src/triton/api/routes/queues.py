"""Owns the routes of queues and workers: looked at, paused, drained, resumed."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from triton import keys
from triton.api import openapi, streaming
from triton.api.access import requires
from triton.api.batches import wants_json
from triton.api.parameters import QueueName
from triton.api.queues import QueueList, QueueView, WorkerList, queue_views, worker_views
from triton.api.request_id import current_request
from triton.api.services import Services, services_of
from triton.api.stream_access import TokenParameter
from triton.api.submission import ReasonRequest
from triton.api.wire import Json, read_json
from triton.events.client import send_async
from triton.events.scripts import Hold
from triton.feed.contract import Refused, Stream
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX
from triton.observe.logger import get_logger

router = APIRouter(prefix=PREFIX, tags=["queues and workers"])
_log: Final = get_logger("triton.api")


@router.get(
    "/queues",
    summary="List queues",
    responses={200: openapi.answer(QueueList, "All queues, by name."), **openapi.problems()},
)
async def list_queues(
    services: Annotated[Services, Depends(services_of)],
    _: Annotated[Principal, requires(Permission.QUEUES_READ)],
) -> Response:
    """As Redis has them now: no projector is asked."""
    return Json(QueueList(queues=await queue_views(services.redis, services.settings)))


@router.get(
    "/queues/subscribe",
    summary="Follow all queues live (Server-Sent Events), or see them once as JSON",
    responses={
        200: {
            "description": (
                "With `Accept: application/json` a QueueList; otherwise a stream: `triton.hello`, then "
                "unnamed events whose data is a QueueList, whenever it changes, a few times a second at "
                "most. They are a state: a stream begins with the newest one."
            ),
            "content": {
                **openapi.EVENT_STREAM,
                "application/json": {"schema": openapi.reference(QueueList)},
            },
        },
        **openapi.problems(),
        **streaming.REFUSAL,
    },
)
async def subscribe_queues(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.QUEUES_READ)],
    token: TokenParameter = None,  # noqa: ARG001
) -> Response:
    """But for a user, address or tenant with too many streams, every answer is one that a browser's
    EventSource survives. JSON is for who has only a stream token, and cannot follow."""
    if wants_json(request):
        return Json(QueueList(queues=await queue_views(services.redis, services.settings)))

    async def open_stream() -> Stream | Refused:
        return services.counters.open()

    return await streaming.answer(request, services, who, open_stream)


@router.get(
    "/workers",
    summary="List living workers",
    responses={200: openapi.answer(WorkerList, "Who lives, by id."), **openapi.problems()},
)
async def list_workers(
    services: Annotated[Services, Depends(services_of)],
    _: Annotated[Principal, requires(Permission.WORKERS_READ)],
) -> Response:
    """A worker is listed from its first heartbeat until a lease after its last one."""
    return Json(WorkerList(workers=await worker_views(services.redis, services.settings)))


def _command(name: str, state: Hold, summary: str, said: str) -> None:
    @router.post(
        f"/queues/{{name}}/{name}",
        name=f"{name}_queue",
        summary=summary,
        description=said,
        responses={
            200: openapi.answer(QueueView, "The queue as it is now."),
            **openapi.problems(400, 404),
        },
        openapi_extra=openapi.body(
            ReasonRequest, {"reason": "the upstream is away"}, required=False
        ),
    )
    async def command(
        name: QueueName,
        request: Request,
        services: Annotated[Services, Depends(services_of)],
        identity: Annotated[Principal, requires(Permission.QUEUES_ACT)],
    ) -> Response:
        wanted = await read_json(request, ReasonRequest, optional=True)
        await queue_views(services.redis, services.settings, only=name)
        await _hold(services, name, state, identity.by, wanted.reason)
        (view,) = await queue_views(services.redis, services.settings, only=name)
        return Json(view)


_command(
    "pause",
    "paused",
    "Hand out no job of a queue",
    "What runs goes on, and jobs are taken still; leases, due times and times to live go on too. Again is no "
    "error: who paused it first, and why, stays.",
)
_command(
    "drain",
    "draining",
    "Take no new jobs into a queue",
    "What is there is run to its end, and so is what running jobs send. Everybody else's submit is a 409.",
)
_command("resume", "open", "End a pause or a drain", "No error where there is none.")


async def _hold(services: Services, name: str, state: Hold, by: str, reason: str) -> None:
    settings = services.settings
    calls = [
        services.scripts.hold(
            keys.prefix(settings.namespace, partition),
            name,
            state,
            by=by,
            reason=reason,
            correlation=current_request(),
        )
        for partition in range(settings.partitions)
    ]
    if b"ok" in await send_async(services.redis, calls):
        _log.info("queue_held", queue=name, state=state, by=by, reason=reason)
