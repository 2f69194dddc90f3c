"""Owns the routes of auditors: why, as of when, what changed, and events to take away."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from triton.api import openapi
from triton.api.access import requires
from triton.api.auditing import audited, check
from triton.api.job_answers import unknown_job, visible_job
from triton.api.parameters import JobId, Name
from triton.api.services import Services, services_of
from triton.api.time_limits import unhurried
from triton.api.wire import Json
from triton.audit.cuts import cut_of
from triton.audit.differences import Difference, difference
from triton.audit.export.exporting import Export, Manifest, Wanted
from triton.audit.export.writers import Format
from triton.audit.instants import Instant, instant
from triton.audit.timeline import Chosen, JobAt, JobsAt, job_at, jobs_at
from triton.audit.why import Why, why
from triton.errors import ValidationError
from triton.history import Filter, History
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX
from triton.submit import MAX_NAME

router = APIRouter(prefix=f"{PREFIX}/audit", tags=["audit"], dependencies=[Depends(unhurried)])

#: Events of one export over the API at most, and with proofs.
MOST: Final = 200_000
MOST_PROVED: Final = 2_000

_WRITTEN: Final[dict[str, Any]] = {
    "pattern": r"^(now|(\d{1,4}:)?\d{1,18}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d))$"
}
_When = Query(
    max_length=64,
    json_schema_extra=_WRITTEN,
    description="A time like 2026-01-31T12:00:00Z, `now`, or a position: 1234, or 0:1234 with its partition.",
)
_Reason = Annotated[str, Query(max_length=2000, description="Why you ask; kept with the read.")]
_State = Literal["scheduled", "pending", "processing", "completed", "failed", "cancelled"]
_Limit = Annotated[int, Query(ge=1, le=10_000)]
_Many = Annotated[
    list[Annotated[str, Query(min_length=1, max_length=MAX_NAME)]] | None,
    Query(max_length=100, description="May be given several times."),
]


@router.get(
    "/jobs/{job_id}/why",
    summary="What led to a job, what happened to it, and what it led to",
    responses={200: openapi.answer(Why, "With positions."), **openapi.problems(403, 404)},
)
async def why_job(
    job_id: JobId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.AUDIT_READ)],
    reason: _Reason = "",
) -> Response:
    """From the log, its archive included. That you asked is an event of the log (`audit.read`)."""

    if not identity.any_tenant:
        await visible_job(services, identity, job_id)

    async def ask(history: History) -> Why:
        return await why(history, job_id, identity.sees)

    return Json(await audited(services, identity, "why", {"job": job_id}, reason, ask))


@router.get(
    "/at",
    summary="A job, the queues or the jobs of a state, as they were",
    responses={
        200: {
            "description": "With `job` that job; else all jobs that fit, counted, and the newest listed.",
            "content": {
                "application/json": {
                    "schema": {"oneOf": [openapi.reference(JobAt), openapi.reference(JobsAt)]}
                }
            },
        },
        **openapi.problems(403, 404),
    },
)
async def as_of(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.AUDIT_READ)],
    instant: Annotated[str, _When],
    job: Name = None,
    status: _State | None = None,
    queue: Name = None,
    tenant: Name = None,
    actor: Name = None,
    limit: _Limit = 100,
    reason: _Reason = "",
) -> Response:
    """The fold of the log up to the instant, that included. Without `job` it reads all of the log up to
    there. That you asked is an event of the log."""
    when = _instant(instant)
    chosen = Chosen(status=status, queue=queue, tenant=tenant, actor=actor)
    if job is not None and chosen != Chosen():
        raise ValidationError("job goes with no other filter: name one job, or filter all")
    chosen = msgspec.structs.replace(chosen, tenant=identity.reads(tenant))

    async def ask(history: History) -> JobAt | JobsAt:
        cut = await cut_of(history, when, job)
        if job is not None:
            found = await job_at(history, job, cut)
            if not identity.sees(found.job.tenant):
                raise unknown_job(job)
            return found
        return await jobs_at(history, cut, chosen, limit=limit)

    asked = {"instant": when.text, "job": job, "status": status}
    asked |= {"queue": queue, "tenant": tenant, "actor": actor}
    return Json(await audited(services, identity, "at", asked, reason, ask))


@router.get(
    "/diff",
    summary="What changed between two instants",
    responses={200: openapi.answer(Difference, "Jobs and queues."), **openapi.problems(403, 404)},
)
async def changed(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.AUDIT_READ)],
    begin: Annotated[
        str,
        Query(
            alias="from",
            max_length=64,
            json_schema_extra=_WRITTEN,
            description="An instant, as for `at`.",
        ),
    ],
    to: Annotated[str, _When] = "now",
    limit: _Limit = 100,
    reason: _Reason = "",
) -> Response:
    """Reads all of the log up to the second instant. That you asked is an event of the log."""
    # What changed is told of all tenants at once.
    identity.demand(Permission.TENANTS_ANY)
    first, second = _instant(begin), _instant(to)

    async def ask(history: History) -> Difference:
        cuts = await cut_of(history, first), await cut_of(history, second)
        return await difference(history, *cuts, limit=limit)

    asked = {"from": first.text, "to": second.text}
    return Json(await audited(services, identity, "diff", asked, reason, ask))


@router.get(
    "/export",
    summary="Take events away: a ZIP with the events, their manifest, and proofs",
    response_class=Response,
    responses={
        200: {
            "description": "The events' file, `manifest.json`, the verifier `keys`, and `proofs/`.",
            "content": {"application/zip": {}},
        },
        **openapi.problems(403, 404, 413),
    },
)
async def export(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.AUDIT_READ)],
    form: Annotated[Format, Query(alias="format")] = "jsonl",
    since: Annotated[str | None, _When] = None,
    until: Annotated[str, _When] = "now",
    job: _Many = None,
    queue: _Many = None,
    tenant: _Many = None,
    actor: _Many = None,
    kind: Annotated[
        list[str] | None, Query(alias="type", max_length=100, description="Types of events.")
    ] = None,
    correlation: _Many = None,
    proofs: bool = False,
    reason: _Reason = "",
) -> Response:
    """At most 200,000 events, 2,000 with proofs; `triton audit export` takes any number. That you asked is an
    event of the log."""
    check(services)
    first, last = None if since is None else _instant(since), _instant(until)
    given = {
        "job": job,
        "queue": queue,
        "tenant": _tenants(identity, tenant),
        "actor": actor,
        "type": kind,
        "correlation": correlation,
    }
    asked = {name: ",".join(values) for name, values in given.items() if values}
    asked |= {"until": last.text, **({"since": first.text} if first else {})}
    asked |= {"format": form, **({"proofs": "yes"} if proofs else {})}
    chosen = Filter(**{f"{name}s": frozenset(values) for name, values in given.items() if values})
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="triton-export-"))

    async def take(history: History) -> Manifest:
        wanted = Wanted(
            format=form,
            asked=asked,
            after=await cut_of(history, first) if first else None,
            upto=await cut_of(history, last),
            chosen=chosen,
            proofs=proofs,
            most=MOST_PROVED if proofs else MOST,
            by=identity.by,
            reason=reason,
            now=time.time_ns() // 1000,
        )
        return await Export(history, folder / "export", wanted, lambda: services.archive).run()

    try:
        await audited(services, identity, "export", asked, reason, take)
        file = await asyncio.to_thread(_zipped, folder)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        raise
    return FileResponse(
        file,
        media_type="application/zip",
        filename=f"{services.settings.namespace}-export.zip",
        headers={"Cache-Control": "no-store"},
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


def _zipped(folder: Path) -> Path:
    file, root = folder / "export.zip", folder / "export"
    with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))
    return file


def _tenants(identity: Principal, named: list[str] | None) -> list[str] | None:
    """Raises ForbiddenError."""
    for one in named or ():
        identity.reads(one)
    return named if named or identity.any_tenant else [identity.tenant]


def _instant(text: str) -> Instant:
    return instant(text, time.time_ns() // 1000)
