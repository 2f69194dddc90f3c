"""Owns the actor `webhooks.deliver`: one job event to one target, tried again as jobs are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import dramatiq
import msgspec
from psycopg.rows import dict_row

import triton
from triton import settings
from triton.documents.resources import Resources, resources
from triton.domain.connection import enter
from triton.domain.key_ring import RingFile
from triton.domain.secret_store import get_now
from triton.domain.statements import sql
from triton.errors import ForbiddenError, NotFoundError, TritonError, ValidationError
from triton.webhooks import ACTOR, QUEUE
from triton.webhooks.destination import destination_of
from triton.webhooks.records import TARGETS, secret_name
from triton.webhooks.sending import Sent, send

#: Milliseconds.
TIME_LIMIT: Final = 40_000
MIN_BACKOFF: Final = 5_000
MAX_BACKOFF: Final = 3_600_000


class NotDeliveredError(TritonError):
    """The target did not take it."""

    code = "not_delivered"


@dramatiq.actor(
    actor_name=ACTOR,
    queue_name=QUEUE,
    max_retries=10,
    min_backoff=MIN_BACKOFF,
    max_backoff=MAX_BACKOFF,
    throws=(ForbiddenError, ValidationError),
    time_limit=TIME_LIMIT,
)
def deliver(*, target: str, event: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Sends `payload` to the target. Each attempt is a row of its history; one that is not taken (any answer
    but 2xx) fails, and is tried again. A target that is gone or switched off gets nothing more."""
    job = triton.current_job()
    chosen = settings.load()
    shared = resources()
    record = UUID(target)
    try:
        url, secret = _target(shared, chosen.tenant_keys, job.tenant, record)
    except NotFoundError as error:
        return {"delivered": False, "reason": error.message}
    try:
        destination = destination_of(url, private=chosen.webhook_private)
        body = msgspec.json.encode(payload)
        sent = send(destination, secret, job.id, body, now=time.time())
    except TritonError as error:
        _keep(shared, job, record, event, Sent(None, error.message, 0))
        raise
    _keep(shared, job, record, event, sent)
    if not sent.delivered:
        raise NotDeliveredError(f"{url} did not take the event {event}: {sent.error}")
    return {"delivered": True, "status": sent.status}


def _target(shared: Resources, tenant_keys: str, tenant: str, target: UUID) -> tuple[str, bytes]:
    """Its URL and its secret. Raises NotFoundError."""
    ring = RingFile(tenant_keys).read()
    with (
        shared.connection() as connection,
        connection.transaction(),
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        enter(connection, tenant)
        cursor.execute(sql("webhook_target"), {"tenant": tenant, "id": target})
        found = cursor.fetchone()
        if found is None or not found["enabled"]:
            raise NotFoundError("the target is gone, or switched off")
        secret = get_now(connection, ring, tenant=tenant, name=secret_name(TARGETS, target))
        return found["url"], secret


def _keep(shared: Resources, job: triton.Job, target: UUID, event: str, sent: Sent) -> None:
    with shared.connection() as connection, connection.transaction():
        enter(connection, job.tenant)
        connection.execute(
            sql("delivery_add"),
            {
                "tenant": job.tenant,
                "target": target,
                "event": event,
                "job": job.id,
                "attempt": job.attempt,
                "at": datetime.now(UTC),
                "delivered": sent.delivered,
                "status": sent.status,
                "error": sent.error,
                "duration_ms": sent.duration_ms,
            },
        )
