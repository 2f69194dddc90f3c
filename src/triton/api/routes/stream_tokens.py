"""Owns the routes of stream tokens, which are for browsers to follow events with: made, and taken back."""

from __future__ import annotations

import math
import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.access import requires
from triton.api.parameters import Name
from triton.api.request_id import current_request
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.audit.noting import note
from triton.errors import ValidationError
from triton.events.types import TYPES, StreamTokenMade, StreamTokenRevoked
from triton.identity import stream_tokens
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.identity.stream_tokens import MAX_LENGTH, MOST, Scope, StreamToken
from triton.job_view import PREFIX
from triton.observe.logger import get_logger
from triton.submit import MAX_NAME

#: Seconds that a token lives, where nothing is said.
TTL: Final = 900
#: Milliseconds within which the event of a token may be sent again: no other ever has its id.
_RESENT_MS: Final = 60_000
router = APIRouter(prefix=f"{PREFIX}/stream-tokens", tags=["events"])
_log: Final = get_logger("triton.api")

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]+\Z")]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=MOST)]


class StreamTokenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be followed: `jobs`, or `batches`, or (`tenant`) all that a tenant has; of `types` only, where
    given. Without `tenant` it is your own. `ttl` is in seconds."""

    jobs: _Names = []
    batches: _Names = []
    types: _Names = []
    tenant: _Name | None = None
    ttl: Annotated[int, msgspec.Meta(ge=1)] = TTL


class StreamTokenReply(msgspec.Struct, frozen=True, kw_only=True):
    """`token` goes into `?token=`, or behind `Bearer`. It is shown once; by `id` it can be taken back."""

    token: str
    id: str
    expires_at: str
    tenant: str


@router.post(
    "",
    summary="Make a stream token",
    status_code=201,
    responses={
        201: openapi.answer(StreamTokenReply, "The token, and when it ends."),
        **openapi.problems(400, 413),
    },
    openapi_extra=openapi.body(StreamTokenRequest, {"jobs": ["order-7"], "ttl": 900}),
)
async def make_stream_token(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.EVENTS_READ)],
) -> Response:
    """For a browser's EventSource, which can send no header. The token can follow what it names, and nothing
    else; it may be used again until it expires, also by who was not meant to have it: keep `ttl` short. It is
    not asked whether the jobs exist: they may be submitted later. Each token is an event of the tenant."""
    asked = await read_json(request, StreamTokenRequest)
    _check(asked, services.settings.stream_token_ms // 1000)
    now = time.time()
    token = StreamToken(
        id=secrets.token_hex(8),
        by=who.by,
        scope=Scope(
            tenant=who.writes_as(asked.tenant),
            jobs=tuple(dict.fromkeys(asked.jobs)),
            batches=tuple(dict.fromkeys(asked.batches)),
            types=tuple(dict.fromkeys(asked.types)),
            queues=who.may(Permission.QUEUES_READ),
        ),
        issued_at=int(now),
        expires_at=math.ceil(now + asked.ttl),
        session=who.session,
    )
    text = stream_tokens.write(token, services.settings.namespace, services.stream_keys.signing())
    if len(text) > MAX_LENGTH:
        raise _invalid("jobs", "these names make too long a token: name a batch, or fewer jobs")
    # In the log before it counts, as every right.
    await note(
        services.redis,
        services.scripts,
        services.settings.namespace,
        _made(token),
        op=f"stream-made:{token.id}",
        by=token.by,
        tenant=token.scope.tenant,
        correlation=current_request(),
        known_ms=_RESENT_MS,
    )
    _log.info(
        "stream_token_made",
        token_id=token.id,
        by=who.by,
        tenant=token.scope.tenant,
        expires_at=token.expires_at,
    )
    ends = datetime.fromtimestamp(token.expires_at, UTC)
    reply = StreamTokenReply(
        token=text,
        id=token.id,
        expires_at=ends.isoformat().replace("+00:00", "Z"),
        tenant=token.scope.tenant,
    )
    return Json(reply, 201)


@router.delete(
    "/{token_id}",
    summary="Take back a stream token",
    status_code=204,
    responses={
        204: {"description": "A token of that id opens nothing any more."},
        **openapi.problems(409),
    },
)
async def take_back(
    token_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="From when it was made.")],
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.EVENTS_READ)],
    tenant: Name = None,
) -> Response:
    """Before it expires. New streams are refused at once (`401`, reason `revoked`), open ones end within
    `TRITON_ACCESS_CACHE_MS`, in every process. It is an event of the tenant. Tokens are kept nowhere, so
    it is not asked whether there was one. `tenant` is the one that it was made for; without it, your own."""
    named = who.writes_as(tenant)
    # As every end of a right, it counts first: also where it cannot be written down, and the call says so.
    await services.standing.take_back(named, token_id, services.settings.stream_token_ms)
    event = StreamTokenRevoked(token=token_id)
    await services.accounts.note(event, op=f"stream:{named}:{token_id}", by=who.by, tenant=named)
    return Response(status_code=204)


def _made(token: StreamToken) -> StreamTokenMade:
    return StreamTokenMade(
        token=token.id,
        expires=token.expires_at * 1_000_000,
        jobs=list(token.scope.jobs),
        batches=list(token.scope.batches),
        types=list(token.scope.types),
        session=token.session,
    )


def _check(asked: StreamTokenRequest, longest: int) -> None:
    if not (asked.jobs or asked.batches or asked.tenant):
        raise _invalid("jobs", "say what may be followed: jobs, or batches, or all of a tenant")
    if asked.jobs and asked.batches:
        raise _invalid("batches", "a token is for jobs or for batches: make one of each")
    for name in asked.types:
        if name not in TYPES or not name.startswith("job."):
            known = ", ".join(each for each in TYPES if each.startswith("job."))
            raise _invalid("types", f"{name[:80]!r} is none of {known}")
    if asked.ttl > longest:
        raise _invalid("ttl", f"at most {longest} seconds (TRITON_STREAM_TOKEN_MS)")


def _invalid(field: str, message: str) -> ValidationError:
    return ValidationError(f"{field}: {message}", fields=[{"field": field, "message": message}])
