"""Owns the routes that requeue or cancel all jobs that a filter matches."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from triton.api import acting, openapi, selection
from triton.api.access import requires
from triton.api.selection import Acted, Action, DryRun, SelectionRequest
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Of a dry run: what the filter matches, and the token. Else: what was done.",
        "content": {
            "application/json": {
                "schema": {"oneOf": [openapi.reference(DryRun), openapi.reference(Acted)]}
            }
        },
    },
    **openapi.problems(400, 409),
}
_EXAMPLE: Final = {
    "filter": {"actor": "mail.send", "error": "ConnectionError"},
    "dry_run": True,
}


@router.post(
    "/requeue",
    summary="Send all failed jobs that a filter matches round again",
    responses=_RESPONSES,
    openapi_extra=openapi.body(SelectionRequest, _EXAMPLE),
)
async def requeue_many(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_ACT)],
) -> Response:
    """First a dry run with the filter: it counts, shows a sample, and answers a token. Then calls with the
    token, until `next` is null. Only jobs that the dry run counted are requeued, and only those to which
    nothing happened since; each once, however often a call is repeated."""
    return await _answer(request, services, identity, "requeue")


@router.post(
    "/cancel",
    summary="Cancel all jobs that a filter matches",
    responses=_RESPONSES,
    openapi_extra=openapi.body(
        SelectionRequest, {"filter": {"queue": "mails", "status": ["pending"]}, "dry_run": True}
    ),
)
async def cancel_many(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_ACT)],
) -> Response:
    """As for requeue. What waits ends at once, what runs is asked to stop. Jobs that were submitted after the
    dry run are left alone; a job that has started since is cancelled only where the filter's `status` says
    `processing`, or says nothing."""
    return await _answer(request, services, identity, "cancel")


async def _answer(
    request: Request, services: Services, identity: Principal, action: Action
) -> Response:
    wanted = await read_json(request, SelectionRequest)
    selection.check(wanted, action)
    if wanted.filter is not None:
        tenant = identity.reads(wanted.filter.tenant)
        chosen = msgspec.structs.replace(wanted.filter, tenant=tenant)
        return Json(await acting.dry_run(services, action, chosen))
    assert wanted.token is not None, "checked above"
    return Json(
        await acting.act(
            services,
            action,
            wanted.token,
            by=identity.by,
            reason=wanted.reason,
            limit=wanted.limit,
            sees=identity.sees,
        )
    )
