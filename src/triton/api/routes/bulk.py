"""Owns the route that submits many jobs in one call."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from redis.exceptions import RedisError
from starlette.responses import Response

from triton import keys
from triton.api import openapi, quotas
from triton.api.access import requires
from triton.api.actors import Declared, declared, sealing_of
from triton.api.bulk import (
    MAX_BULK,
    BulkCall,
    BulkItem,
    BulkReply,
    BulkRequest,
    Common,
    check_count,
    checked_item,
    is_keyed,
    item_of,
)
from triton.api.job_answers import shrunk
from triton.api.request_id import current_request
from triton.api.services import Services, services_of
from triton.api.wire import Json, decode, expect_json, read_body
from triton.bulk import Receipt, existing, nothing_submitted, receipt_of, waves
from triton.errors import UnavailableError
from triton.events.client import send_async
from triton.events.replies import answers
from triton.events.submission import Submission
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX
from triton.submit import Caller
from triton.uniqueness import MAX_KEY

#: Jobs that are checked before other requests have their turn.
_SLICE: Final = 100

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


@router.post(
    "/bulk",
    status_code=202,
    summary="Submit up to 10,000 jobs",
    responses={
        202: openapi.answer(BulkReply, "One receipt per job."),
        **openapi.problems(400, 413, 429),
    },
    openapi_extra=openapi.body(
        BulkCall,
        {"mode": "all", "jobs": [{"actor": "mail.send", "args": [1], "idempotency_key": "mail-1"}]},
    ),
)
async def submit_many(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.JOBS_SUBMIT)],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=MAX_KEY, description="The same key is the same call."),
    ] = None,
    traceparent: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """Every job is checked before the first is submitted: in mode `all` one that does not fit makes the
    call a 422 that names each such job by its index, and nothing is submitted; in mode `partial` the others
    are. What only the log can refuse (a unique key that is held, an idempotency key of another call, a queue
    that drains) is a rejected receipt in both modes. Then they go in chunks, each of which is one atomic
    step. Where the answer is lost on the way, or is 503, the same call with the same `Idempotency-Key`
    completes it: what was submitted answers `exists`.
    """
    expect_json(request)
    body = await read_body(request, MAX_BULK, "send several calls")
    call = decode(body, BulkRequest)
    check_count(call)
    common = Common(
        caller=Caller(
            identity.by,
            tenant=identity.writes_as(None),
            traceparent=traceparent,
            correlation=current_request(),
        ),
        sees=identity.sees,
        at_ms=time.time_ns() // 1_000_000,
        key=idempotency_key or "",
        partitions=services.settings.partitions,
        keep_ms=services.settings.idempotency_ms,
    )
    checked, keyed = await _check(services, call, common)
    rejected = [one for one in checked if isinstance(one, Receipt)]
    if rejected and call.mode == "all":
        raise nothing_submitted(rejected, len(checked))
    receipts = await _submit(services, checked, keyed)
    kinds = Counter(receipt.status for receipt in receipts)
    return Json(
        BulkReply(
            mode=call.mode,
            accepted=kinds["accepted"],
            existing=kinds["exists"],
            rejected=kinds["rejected"],
            jobs=receipts,
        ),
        202,
    )


async def _check(
    services: Services, call: BulkRequest, common: Common
) -> tuple[list[Submission | Receipt], list[str]]:
    """Each job's submission or its refusal, in order; and the ids that may have been submitted before."""
    items: list[BulkItem | Receipt] = []
    for start in range(0, len(call.jobs), _SLICE):
        items += [
            item_of(at, raw) for at, raw in enumerate(call.jobs[start : start + _SLICE], start)
        ]
        await asyncio.sleep(0)
    actors = await declared(
        services.redis,
        services.settings.namespace,
        {item.actor for item in items if isinstance(item, BulkItem)},
    )
    sealing = sealing_of(services.keyring, actors)
    common = msgspec.structs.replace(common, sealing=sealing) if sealing else common
    checked: list[Submission | Receipt] = []
    for start in range(0, len(items), _SLICE):
        part = items[start : start + _SLICE]
        check = partial(_checked, part, start, actors, common)
        # Sealing may wait for the store of keys.
        checked += check() if common.sealing is None else await asyncio.to_thread(check)
        await asyncio.sleep(0)
    keyed = [
        one.job
        for item, one in zip(items, checked, strict=True)
        if isinstance(one, Submission) and is_keyed(item, common)
    ]
    return checked, keyed


def _checked(
    part: Sequence[BulkItem | Receipt], start: int, actors: Mapping[str, Declared], common: Common
) -> list[Submission | Receipt]:
    return [checked_item(at, item, actors, common) for at, item in enumerate(part, start)]


async def _submit(
    services: Services, checked: list[Submission | Receipt], keyed: list[str]
) -> list[Receipt]:
    """Raises UnavailableError where Redis stops answering on the way."""
    known = await services.jobs.forgotten(keyed)
    receipts = {one.index: one for one in checked if isinstance(one, Receipt)}
    places: list[int] = []
    submissions: list[Submission] = []
    for at, one in enumerate(checked):
        if isinstance(one, Submission):
            if one.job in known:
                receipts[at] = existing(at, one.job)
            else:
                places.append(at)
                submissions.append(await shrunk(services, one))
    await quotas.admit(services, submissions)
    namespace, partitions = services.settings.namespace, services.settings.partitions
    for wave in waves(submissions, partitions):
        calls = [
            services.scripts.submit(
                keys.prefix(namespace, partition), [submissions[i] for i in chunk]
            )
            for partition, chunk in wave
        ]
        try:
            replies = await send_async(services.redis, calls)
        except RedisError as error:
            raise _broken_off(len(receipts), len(checked), error) from error
        for (_, chunk), reply in zip(wave, replies, strict=True):
            for i, answer in zip(chunk, answers(reply), strict=True):
                receipts[places[i]] = receipt_of(places[i], submissions[i], answer)
    return [receipts[at] for at in range(len(checked))]


def _broken_off(done: int, total: int, error: RedisError) -> UnavailableError:
    return UnavailableError(
        f"Redis stopped answering after {done} of {total} jobs ({error}): send the same call with the same "
        "Idempotency-Key again, and it submits what is missing; without a key, what was submitted stays",
        done=done,
        total=total,
    )
