"""Owns the routes of sessions: login, refresh, logout, who am I, and one's own password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from triton.api import openapi
from triton.api.access import public, requires
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.errors import ConflictError
from triton.identity import people
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.identity.sessions import Pair
from triton.identity.views import Login, Me, PasswordChange, Refresh, me_of
from triton.job_view import PREFIX

#: For who is nobody yet, and for who is logged in.
entrance = APIRouter(prefix=f"{PREFIX}/auth", tags=["access"], dependencies=[public])
router = APIRouter(prefix=f"{PREFIX}/auth", tags=["access"])


@entrance.post(
    "/login",
    summary="Log in",
    responses={
        200: openapi.answer(Pair, "An access token, and the refresh token for the next."),
        **openapi.problems(400, 413, 429),
    },
    openapi_extra=openapi.body(Login, {"login": "ada", "password": "correct horse battery"}),
)
async def login(request: Request, services: Annotated[Services, Depends(services_of)]) -> Response:
    """Send the access token as `Authorization: Bearer ...`. The answer to a wrong login, a wrong password and
    a disabled account is the same 401; after too many of them it is a 429 with `Retry-After`."""
    wanted = await read_json(request, Login)
    pair = await services.accounts.sessions.login(
        wanted.login, wanted.password, address_of(request)
    )
    return Json(pair)


@entrance.post(
    "/refresh",
    summary="The next pair of tokens",
    responses={
        200: openapi.answer(Pair, "A new pair; the old refresh token is used up."),
        **openapi.problems(400, 413),
    },
    openapi_extra=openapi.body(Refresh, {"refresh_token": "trr_..."}),
)
async def refresh(
    request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    """A refresh token counts once. When one comes again, somebody has a copy: the session ends for both."""
    wanted = await read_json(request, Refresh)
    return Json(await services.accounts.sessions.refresh(wanted.refresh_token, address_of(request)))


@router.post(
    "/logout",
    status_code=204,
    summary="Log out",
    responses={
        204: {"description": "No token of the session counts any more."},
        **openapi.problems(409),
    },
)
async def logout(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.SELF)],
) -> Response:
    """Ends the session of the access token. In other API processes its access token counts for
    `TRITON_ACCESS_CACHE_MS` more."""
    if not who.session:
        raise ConflictError("an API key has no session to end: revoke it instead")
    sessions = services.accounts.sessions
    await sessions.end(who.session, "logout", by=who.by, address=address_of(request))
    return Response(status_code=204)


@router.get(
    "/me", summary="Who am I", responses={200: openapi.answer(Me, "You."), **openapi.problems()}
)
async def me(who: Annotated[Principal, requires(Permission.SELF)]) -> Response:
    """What the API knows of who asks, and what they may."""
    return Json(me_of(who))


@router.post(
    "/password",
    status_code=204,
    summary="Change one's own password",
    responses={
        204: {"description": "Changed; all other sessions have ended."},
        **openapi.problems(400, 409, 413, 429),
    },
    openapi_extra=openapi.body(
        PasswordChange, {"current": "correct horse battery", "password": "staple of the horses"}
    ),
)
async def change_password(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.SELF)],
) -> Response:
    """A password has 12 to 256 characters; there are no other rules."""
    wanted = await read_json(request, PasswordChange)
    await people.change_password(services.accounts, who, wanted, address_of(request))
    return Response(status_code=204)


def address_of(request: Request) -> str:
    """Where a request came from; empty where that is not known."""
    return request.client.host if request.client else ""
