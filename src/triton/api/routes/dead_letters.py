"""Owns the routes of failed jobs: listed, and counted by what they have in common."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from triton.api import openapi, pages
from triton.api.access import requires
from triton.api.dead_letters import (
    DeadLetterCounts,
    DeadLetterFilter,
    DeadLetterPage,
    Group,
    counts_of,
    page_of,
)
from triton.api.parameters import Name, Since, Until, Word, aware
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.events.envelope import to_datetime
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX

router = APIRouter(prefix=f"{PREFIX}/dead-letters", tags=["dead letters"])


async def chosen(
    queue: Name = None,
    actor: Name = None,
    error: Word = None,
    reason: Word = None,
    tenant: Name = None,
    failed_after: Since = None,
    failed_before: Until = None,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        queue=queue,
        actor=actor,
        error=error,
        reason=reason,
        tenant=tenant,
        after=aware("failed_after", failed_after),
        before=aware("failed_before", failed_before),
    )


@router.get(
    "",
    summary="List failed jobs, the last failed first",
    responses={200: openapi.answer(DeadLetterPage, "A page of failed jobs."), **openapi.problems()},
)
async def list_dead_letters(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
    chosen: Annotated[DeadLetterFilter, Depends(chosen)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    """Every job that is failed now, as far as the projector has come. `error` is the class name of what was
    raised; `reason` is error, time_limit, died (its workers), rejected (it cannot be run), expired (not
    started in time) or erased (its data subject)."""
    last = pages.read(next) if next else None
    whose = identity.reads(chosen.tenant)
    rows = await services.jobs.rows(
        "dead_letters",
        {
            **msgspec.structs.asdict(chosen),
            "tenant": whose,
            "last_at": to_datetime(last.at) if last else None,
            "last_job": last.id if last else None,
            "limit": pages.asked(limit),
        },
        whose,
    )
    return Json(page_of(rows, limit))


@router.get(
    "/counts",
    summary="Count failed jobs by what they have in common",
    responses={
        200: openapi.answer(DeadLetterCounts, "The largest groups first."),
        **openapi.problems(),
    },
)
async def count_dead_letters(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_READ)],
    chosen: Annotated[DeadLetterFilter, Depends(chosen)],
    by: Annotated[
        list[Group] | None,
        Query(description="May be repeated; without any: actor, error and reason."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    whose = identity.reads(chosen.tenant)
    rows = await services.jobs.rows(
        "dead_letter_counts",
        {
            **msgspec.structs.asdict(chosen),
            "tenant": whose,
            "by": list(by or ("actor", "error", "reason")),
            "limit": limit,
        },
        whose,
    )
    return Json(counts_of(rows))
