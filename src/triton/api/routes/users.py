"""Owns the routes of users and organizations."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from triton.api import openapi, pages
from triton.api.access import requires
from triton.api.parameters import Name, TenantId, UserId
from triton.api.services import Services, services_of
from triton.api.wire import Json, read_json
from triton.events.envelope import to_datetime, to_microseconds
from triton.identity import organizations, people
from triton.identity.asking import rows, transaction
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.identity.views import (
    OrganizationChange,
    Organizations,
    OrganizationView,
    OrganizationWrite,
    UserChange,
    UserPage,
    UserView,
    UserWrite,
    user_view,
)
from triton.job_view import PREFIX

router = APIRouter(prefix=PREFIX, tags=["access"])


@router.post(
    "/users",
    status_code=201,
    summary="Make a user",
    responses={
        201: openapi.answer(UserView, "Made."),
        **openapi.problems(400, 404, 409, 413),
    },
    openapi_extra=openapi.body(
        UserWrite, {"login": "ada", "role": "developer", "password": "correct horse battery"}
    ),
)
async def add_user(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.USERS_MANAGE)],
) -> Response:
    """In the tenant of who asks, or in the one that is named; for the platform's admins without one, for
    every tenant. Nobody gives a role that may more than they may."""
    made = await people.add(services.accounts, who, await read_json(request, UserWrite))
    return Json(made, 201, {"Location": f"{PREFIX}/users/{made.id}"})


@router.get(
    "/users",
    summary="List users, the newest first",
    responses={200: openapi.answer(UserPage, "A page."), **openapi.problems()},
)
async def list_users(
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.USERS_READ)],
    tenant: Name = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    last = pages.read(next) if next else None
    async with transaction(services.pool) as connection:
        found = await rows(
            connection,
            "users_page",
            tenant=who.reads(tenant),
            last_at=to_datetime(last.at) if last else None,
            last=last.id if last else None,
            limit=pages.asked(limit),
        )
    shown, more = pages.cut(
        [user_view(one) for one in found],
        limit,
        lambda one: pages.Keys(to_microseconds(one.created_at), one.id),
    )
    return Json(UserPage(users=list(shown), next=more))


@router.get(
    "/users/{user}",
    summary="Read a user",
    responses={200: openapi.answer(UserView, "The user."), **openapi.problems(404)},
)
async def read_user(
    user: UserId,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.USERS_READ)],
) -> Response:
    return Json(await people.find(services.accounts, who, user))


@router.patch(
    "/users/{user}",
    summary="Change a user",
    responses={
        200: openapi.answer(UserView, "As it is now."),
        **openapi.problems(400, 404, 409, 413),
    },
    openapi_extra=openapi.body(UserChange, {"role": "viewer", "reason": "moved"}),
)
async def change_user(
    user: UserId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.USERS_MANAGE)],
) -> Response:
    """What is not given stays. A new role counts at once here, elsewhere after `TRITON_ACCESS_CACHE_MS`."""
    wanted = await read_json(request, UserChange)
    return Json(await people.change(services.accounts, who, user, wanted))


@router.get(
    "/organizations",
    summary="List tenants",
    responses={200: openapi.answer(Organizations, "All, by id."), **openapi.problems()},
)
async def list_organizations(
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.TENANT_READ)],
) -> Response:
    """Who has a tenant sees that one."""
    found = await organizations.listed(services.accounts, None if who.any_tenant else who.tenant)
    return Json(Organizations(organizations=found))


@router.post(
    "/organizations",
    status_code=201,
    summary="Make a tenant",
    responses={
        201: openapi.answer(OrganizationView, "Made."),
        **openapi.problems(400, 409, 413),
    },
    openapi_extra=openapi.body(OrganizationWrite, {"id": "acme", "name": "Acme Health"}),
)
async def add_organization(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.TENANTS_MANAGE)],
) -> Response:
    wanted = await read_json(request, OrganizationWrite)
    return Json(await organizations.add(services.accounts, who, wanted), 201)


@router.patch(
    "/organizations/{tenant}",
    summary="Let a tenant's people and keys in, or not",
    responses={
        200: openapi.answer(OrganizationView, "As it is now."),
        **openapi.problems(400, 404, 413),
    },
    openapi_extra=openapi.body(OrganizationChange, {"disabled": True, "reason": "left"}),
)
async def change_organization(
    tenant: TenantId,
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    who: Annotated[Principal, requires(Permission.TENANTS_MANAGE)],
) -> Response:
    """Its jobs and data stay."""
    wanted = await read_json(request, OrganizationChange)
    return Json(await organizations.change(services.accounts, who, tenant, wanted))


#: What is on the wire here.
WIRE: list[type[msgspec.Struct]] = [
    OrganizationChange,
    Organizations,
    OrganizationView,
    OrganizationWrite,
    UserChange,
    UserPage,
    UserView,
    UserWrite,
]
