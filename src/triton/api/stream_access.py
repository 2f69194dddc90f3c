"""Owns what a stream token opens: which requests may bring one, who it makes them, and what they may follow.

A token counts on the routes that open streams (and their JSON form), as `?token=` or as a Bearer, and nowhere
else. It is narrower than any key: what it does not name is not there for who holds it.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from fastapi import Query, Request

from triton.api.services import Services
from triton.errors import ForbiddenError, UnauthenticatedError
from triton.feed.wanted import Wanted
from triton.history.filters import Filter
from triton.identity import stream_tokens
from triton.identity.permissions import Permission, Role
from triton.identity.principal import Principal
from triton.identity.stream_tokens import MARK, MAX_LENGTH, Scope

#: What ends the path of every route that opens streams.
_STREAMS: Final = "/subscribe"
_AGAIN: Final = "ask for another one (POST /api/v1/stream-tokens)"

#: Declared by the routes; read by `token_of`, before anything else of the request.
TokenParameter: TypeAlias = Annotated[
    str | None,
    Query(
        alias="token",
        max_length=MAX_LENGTH,
        description="A stream token, for who can send no Authorization header.",
    ),
]


def token_of(request: Request, bearer: str) -> str:
    """The stream token of a request that may bring one; empty for none. The narrower credential wins."""
    if not str(request.scope["route"].path).endswith(_STREAMS):
        return ""
    return request.query_params.get("token") or (bearer if bearer.startswith(MARK) else "")


async def holder(request: Request, services: Services, text: str) -> Principal:
    """Who holds a token; its scope is kept with the request. Raises UnauthenticatedError."""
    key = services.stream_keys.verifying(stream_tokens.key_id(text))
    found = "invalid" if key is None else stream_tokens.read(text, services.settings.namespace, key)
    if isinstance(found, str):
        said = "has expired" if found == "expired" else "is not known here"
        raise UnauthenticatedError(f"this stream token {said}: {_AGAIN}", reason=found)
    permissions = {Permission.EVENTS_READ}
    if found.scope.whole and found.scope.queues:
        permissions.add(Permission.QUEUES_READ)
    who = Principal(
        by=f"stream:{found.id}",
        tenant=found.scope.tenant,
        role=Role.VIEWER,
        permissions=frozenset(permissions),
        expires_at_ms=found.expires_at * 1000,
        made_with=found.made_with,
    )
    if await services.standing.is_over(who):
        raise UnauthenticatedError(
            f"this stream token was taken back, or what it was made with: {_AGAIN}",
            reason="revoked",
        )
    request.state.stream_scope = found.scope
    return who


def scope_of(request: Request) -> Scope | None:
    """What the request's token is narrowed to; None without a token."""
    found = getattr(request.state, "stream_scope", None)
    return found if isinstance(found, Scope) else None


def check_job(scope: Scope | None, job: str) -> None:
    """Whether a stream of all that a job does may be asked for. Says nothing of whether there is such a job.

    Raises ForbiddenError.
    """
    if scope is None:
        return
    if scope.jobs and job not in scope.jobs:
        raise ForbiddenError("this stream token is for other jobs", scope="jobs")
    if scope.types:
        raise ForbiddenError(
            "this stream token is for some types of events: follow them with "
            "/api/v1/events/subscribe?job_id=...",
            scope="types",
        )


def is_shown(who: Principal, scope: Scope | None, job: str, tenant: str, correlation: str) -> bool:
    """Whether a job that there is may be seen: if not, it is as if there were none."""
    if not who.sees(tenant):
        return False
    return not (scope and scope.batches) or (correlation or job) in scope.batches


def narrowed(scope: Scope | None, chosen: Filter) -> Wanted:
    """What is followed, of all that was asked for. Raises ForbiddenError where a token does not cover it."""
    if scope is None:
        return Wanted(chosen)
    return Wanted(
        Filter(
            tenants=chosen.tenants,
            jobs=_within("jobs", chosen.jobs, scope.jobs),
            queues=chosen.queues,
            actors=chosen.actors,
            types=_within("types", chosen.types, scope.types),
            correlations=_within("batches", chosen.correlations, scope.batches),
        ),
        # A job's state tells of events of every type.
        snapshots=not scope.types,
    )


def _within(
    name: str, asked: frozenset[str] | None, allowed: tuple[str, ...]
) -> frozenset[str] | None:
    if not allowed:
        return asked
    if asked is None:
        return frozenset(allowed)
    if not asked <= frozenset(allowed):
        raise ForbiddenError(f"this stream token is for other {name}", scope=name)
    return asked
