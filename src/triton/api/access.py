"""Owns who a request comes from, and that each route names what it takes to be let in.

    @router.get("/jobs", ...)
    async def list_jobs(who: Annotated[Principal, requires(Permission.JOBS_READ)], ...)

A route without `requires`, `authenticated` or `public` fails a test: there is no way in by forgetting.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import APIKeyHeader, HTTPBearer

from triton.api import stream_access, whose
from triton.api.services import Services
from triton.errors import UnauthenticatedError
from triton.identity.permissions import Permission
from triton.identity.principal import ANYBODY, Principal
from triton.identity.stream_tokens import MARK

_HOW: Final = "send an API key or an access token: `Authorization: Bearer ...`"


#: For the OpenAPI document, and the button in /docs; who asks is found out below.
_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="An API key, or the access token of a login.",
)
_API_KEY: Final = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="api_key", description="An API key."
)


async def principal_of(request: Request) -> Principal:
    """Who asks; looked up once for a request. Raises UnauthenticatedError, UnavailableError."""
    known = getattr(request.state, "principal", None)
    if isinstance(known, Principal):
        return known
    found = await _identified(request)
    request.state.principal = found
    whose.answer_as(None if found.any_tenant else found.tenant)
    return found


async def _identified(request: Request) -> Principal:
    services = request.app.state.services
    assert isinstance(services, Services)
    off = services.settings.auth == "off"
    credential = "" if off else credential_of(request)
    if token := stream_access.token_of(request, credential):
        return await stream_access.holder(request, services, token)
    if off:
        return ANYBODY
    if not credential:
        raise UnauthenticatedError(f"nobody is named in this request: {_HOW}")
    if credential.startswith(MARK):
        raise UnauthenticatedError(f"a stream token opens streams and nothing else: {_HOW}")
    return await services.verifier.principal(credential)


def credential_of(request: Request) -> str:
    """The key or token of a request; empty for none. Raises UnauthenticatedError for what is no Bearer."""
    header = request.headers.get("authorization", "")
    if not header:
        return request.headers.get("x-api-key", "").strip()
    scheme, _, credential = header.partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise UnauthenticatedError(f"the Authorization header is no Bearer one: {_HOW}")
    return credential.strip()


class _Demand:
    """The dependency that lets in who has a permission; routes are asked for theirs by it."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[object, Depends(_BEARER)],
        _api_key: Annotated[object, Depends(_API_KEY)],
    ) -> Principal:
        who = await principal_of(request)
        who.demand(self.permission)
        return who


async def _anyone() -> None:
    """Of a route that everybody may ask."""


def requires(permission: Permission) -> Any:
    """A dependency that answers the Principal. Raises UnauthenticatedError (401), ForbiddenError (403)."""
    return Depends(_Demand(permission))


#: Of a route that answers without a key. Health, login, `/` and what documents the API: no others.
public: Final[Any] = Depends(_anyone)
#: Of a router: who nobody knows learns nothing more than that, not even what is wrong with the request.
authenticated: Final[Any] = Depends(principal_of)


def demanded_by(dependant: Dependant) -> tuple[set[Permission], bool]:
    """The permissions that a route demands, and whether it says that everybody may ask it."""
    calls = list(_calls(dependant))
    permissions = {one.permission for one in calls if isinstance(one, _Demand)}
    return permissions, _anyone in calls


def _calls(dependant: Dependant) -> Iterable[object]:
    for one in dependant.dependencies:
        yield one.call
        yield from _calls(one)
