"""Owns the way of one job from a request into the log, whatever the request was: a call, or a webhook."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import msgspec
import uuid_utils

from triton.api import quotas
from triton.api.actors import Declared, declared, sealing_of
from triton.api.job_answers import prefix_of, shrunk
from triton.api.services import Services
from triton.api.submission import SubmitRequest, submission_for
from triton.events.client import send_async
from triton.events.replies import answers
from triton.events.submission import Submission
from triton.observe import tracing
from triton.submit import Caller
from triton.verdict import verdict_of


async def accept(
    services: Services, wanted: SubmitRequest, caller: Caller, *, idempotency_key: str = ""
) -> tuple[Submission, str, bool]:
    """What was submitted, the id of the job, and whether it was there before; an empty key is none.

    Raises ValidationError, QuotaError, ConflictError, IdempotencyError, UnavailableError, RedisError.
    """
    namespace = services.settings.namespace
    actor = (await declared(services.redis, namespace, [wanted.actor]))[wanted.actor]
    queue = wanted.queue or actor.queue
    with tracing.submitting(wanted.actor, queue, traceparent=caller.traceparent) as traceparent:
        caller = msgspec.structs.replace(caller, traceparent=traceparent)
        return await _accept(services, wanted, caller, actor, idempotency_key)


async def _accept(
    services: Services,
    wanted: SubmitRequest,
    caller: Caller,
    actor: Declared,
    idempotency_key: str,
) -> tuple[Submission, str, bool]:
    sealing = sealing_of(services.keyring, {wanted.actor: actor})
    make = partial(
        submission_for,
        wanted,
        caller,
        job=str(uuid_utils.uuid7()),
        queue=wanted.queue or actor.queue,
        signature=actor.signature,
        declared=actor.terms,
        at_ms=time.time_ns() // 1_000_000,
        idempotency_key=idempotency_key,
        partitions=services.settings.partitions,
        keep_ms=services.settings.idempotency_ms,
        sealing=sealing,
    )
    # Sealing may wait for the store of keys.
    submission = make() if sealing is None else await asyncio.to_thread(make)
    submission = await shrunk(services, submission)
    job, existing = submission.job, True
    if not (idempotency_key and await services.jobs.forgotten([job])):
        await quotas.admit(services, [submission])
        call = services.scripts.submit(prefix_of(services, job), [submission])
        (answer,) = answers((await send_async(services.redis, [call]))[0])
        job, existing = verdict_of(submission, answer)
    return submission, job, existing
