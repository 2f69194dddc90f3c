"""Owns the routes of webhooks: their sources and targets, what was delivered, and the way in."""

import asyncio
import hashlib
import secrets
import time
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from psycopg.rows import class_row
from starlette.responses import Response

from triton import keys
from triton.api import openapi
from triton.api.accepting import accept
from triton.api.access import public
from triton.api.askers import RecordId, reading, writing
from triton.api.parameters import TenantId, Word
from triton.api.problems import MalformedError
from triton.api.records import Asker, noted
from triton.api.request_id import current_request
from triton.api.routes.domain import routes_of
from triton.api.services import Services, services_of
from triton.api.submission import SubmitRequest
from triton.api.whose import answer_as
from triton.api.wire import MAX_JSON, Json, read_body
from triton.domain import secret_store, store
from triton.domain.connection import tenant_connection
from triton.domain.key_ring import RingFile
from triton.domain.kinds import Kind
from triton.domain.statements import sql
from triton.errors import ConflictError, NotFoundError, UnauthenticatedError
from triton.identity import organizations
from triton.identity.permissions import Permission
from triton.job_view import PREFIX
from triton.submit import Caller
from triton.webhooks import signing
from triton.webhooks.records import (
    SOURCES,
    TARGETS,
    Delivery,
    DeliveryList,
    WebhookSecret,
    WebhookSource,
    secret_name,
)

# No deferred annotations here, as in `domain`.

_WRITES: Final = writing(Permission.TENANT_CONFIGURE)
_READS: Final = reading(Permission.TENANT_READ)

#: Everything of webhooks that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [
    *(part for kind in (SOURCES, TARGETS) for part in (kind.write, kind.read, kind.page)),
    Delivery,
    DeliveryList,
    WebhookSecret,
]


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """The job that a webhook became."""

    job: str


WIRE.append(Came)


async def of_sources(name: Word = None, actor: Word = None) -> dict[str, Any]:
    return {"name": name, "actor": actor}


async def of_targets(name: Word = None) -> dict[str, Any]:
    return {"name": name}


def _secret_of(kind: Kind) -> APIRouter:
    router = APIRouter(prefix=f"{PREFIX}/{kind.path}", tags=["webhooks"])

    @router.post(
        "/{record}/secret",
        status_code=201,
        name=f"renew_{kind.name}_secret",
        summary=f"Make a new secret of {kind.said}",
        responses={
            201: openapi.answer(WebhookSecret, "Shown this once."),
            **openapi.problems(404),
        },
    )
    async def renew(
        record: RecordId,
        services: Annotated[Services, Depends(services_of)],
        who: Annotated[Asker, _WRITES],
    ) -> Response:
        """The one before holds no more."""
        ring = await asyncio.to_thread(RingFile(services.settings.tenant_keys).read)
        plain = secrets.token_bytes(signing.BYTES)
        name = secret_name(kind, record)
        async with tenant_connection(services.pool, who.tenant) as connection:
            await store.find(connection, kind, record, who.tenant)
            version = await secret_store.put(
                connection, ring, plain, tenant=who.tenant, name=name, by=who.by
            )
            await noted(services, who, "secret", name, "updated", version)
        return Json(WebhookSecret(secret=signing.text_of(plain)), 201)

    return router


deliveries = APIRouter(prefix=f"{PREFIX}/webhook-targets", tags=["webhooks"])


@deliveries.get(
    "/{record}/deliveries",
    summary="What was delivered to a target, the newest attempts first",
    responses={200: openapi.answer(DeliveryList, "Attempts."), **openapi.problems(404)},
)
async def list_deliveries(
    record: RecordId,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Asker, _READS],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    async with tenant_connection(services.pool, who.tenant) as connection:
        await store.find(connection, TARGETS, record, who.tenant)
        async with connection.cursor(row_factory=class_row(Delivery)) as cursor:
            values = {"tenant": who.tenant, "target": record, "limit": limit}
            await cursor.execute(sql("deliveries"), values)
            return Json(DeliveryList(items=await cursor.fetchall()))


routers: Final = [
    routes_of(SOURCES, of_sources, writes=_WRITES, reads=_READS),
    routes_of(TARGETS, of_targets, writes=_WRITES, reads=_READS),
    _secret_of(SOURCES),
    _secret_of(TARGETS),
    deliveries,
]
#: Who sends here proves it by a signature, and by nothing else.
inbound = APIRouter(prefix=f"{PREFIX}/webhooks", tags=["webhooks"], dependencies=[public])
_SIGNED: Final = [
    {
        "name": name,
        "in": "header",
        "required": True,
        "description": said,
        "schema": {"type": "string"},
    }
    for name, said in (
        ("webhook-id", "Of the message; it is taken once."),
        ("webhook-timestamp", "Seconds since 1970; off by five minutes at most."),
        ("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."),
    )
]


@inbound.post(
    "/{tenant}/{source}",
    status_code=202,
    summary="Send a signed webhook, which becomes a job",
    responses={
        202: openapi.answer(Came, "Accepted."),
        **openapi.problems(400, 401, 409, 413, 429),
    },
    openapi_extra={
        "parameters": _SIGNED,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
    },
)
async def receive(
    tenant: TenantId,
    source: Annotated[UUID, Path(description="The source's id.")],
    request: Request,
    services: Annotated[Services, Depends(services_of)],
) -> Response:
    """Any JSON; it is one argument of the source's actor. The same `webhook-id` a second time is a 409, and
    makes no second job."""
    body = await read_body(request, MAX_JSON, "send a reference to it instead")
    known, message = await _verified(services, request, tenant, source, body)
    answer_as(tenant)
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedError(f"the body is not JSON: {error}") from error
    digest = hashlib.sha256(f"{tenant}\0{source}\0{message}".encode()).hexdigest()
    once = keys.webhook(keys.prefix(services.settings.namespace, 0), digest)
    if not await services.redis.set(once, b"", nx=True, ex=2 * signing.TOLERANCE):
        raise ConflictError(
            f"the webhook {message!r} came before: it is taken once", **{"webhook-id": message}
        )
    try:
        wanted = SubmitRequest(
            actor=known.actor, kwargs={known.argument: payload}, queue=known.queue
        )
        caller = Caller(f"webhook:{source}", tenant=tenant, correlation=current_request())
        _, job, _ = await accept(services, wanted, caller, idempotency_key=digest)
    except BaseException:
        # It was not taken: the sender may try again.
        await services.redis.delete(once)
        raise
    return Json(Came(job=job), 202)


async def _verified(
    services: Services, request: Request, tenant: str, source: UUID, body: bytes
) -> tuple[WebhookSource, str]:
    """The source and the message's id. Raises UnauthenticatedError, in the same words whatever is wrong."""
    refusal = UnauthenticatedError(
        "there is no such source, or the request is not signed with its secret at this time"
    )
    try:
        async with tenant_connection(services.pool, tenant) as connection:
            found = await store.find(connection, SOURCES, source, tenant)
            ring = await asyncio.to_thread(RingFile(services.settings.tenant_keys).read)
            secret = await secret_store.get(
                connection, ring, tenant=tenant, name=secret_name(SOURCES, source)
            )
    except NotFoundError as error:
        raise refusal from error
    message = signing.verified(secret, request.headers, body, now=time.time())
    assert isinstance(found, WebhookSource)
    if message is None or not found.enabled:
        raise refusal
    # Asked last: who is nobody costs no second question.
    if any(one.disabled for one in await organizations.listed(services.accounts, tenant)):
        raise refusal
    return found, message
