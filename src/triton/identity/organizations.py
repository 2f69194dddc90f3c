"""Owns tenants as such: listed, made, let in or not, each with its event."""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec
import uuid_utils

from triton.errors import ConflictError, NotFoundError
from triton.events.types import OrganizationAdded, OrganizationChanged
from triton.identity.asking import row, rows, transaction
from triton.identity.opening import Accounts
from triton.identity.principal import Principal
from triton.identity.views import OrganizationChange, OrganizationView, OrganizationWrite

#: Why an organization was added that nobody asked for.
FIRST: Final = "it has a first record"
#: Names of organizations that a process keeps in mind.
_REMEMBERED: Final = 10_000


async def listed(accounts: Accounts, only: str | None) -> list[OrganizationView]:
    async with transaction(accounts.pool) as connection:
        found = await rows(connection, "organizations", id=only)
    return msgspec.convert(found, list[OrganizationView])


async def add(accounts: Accounts, who: Principal, wanted: OrganizationWrite) -> OrganizationView:
    """Raises ConflictError for an id that is taken."""
    async with transaction(accounts.pool) as connection:
        made = await row(connection, "organization_add", id=wanted.id, name=wanted.name, by=who.by)
        if made is None:
            raise ConflictError(f"there is an organization {wanted.id!r} already", id=wanted.id)
        event = OrganizationAdded(organization=wanted.id, reason=wanted.reason)
        await accounts.note(event, op=f"tenant:{wanted.id}", by=who.by, tenant=wanted.id)
        found = await row(connection, "organizations", id=wanted.id)
    return msgspec.convert(found, OrganizationView)


async def ensure(accounts: Accounts, by: str, tenant: str) -> None:
    """Adds the organization of a tenant that is about to have its first record, where nobody did. Raises
    UnavailableError, RedisError."""
    if tenant in accounts.there:
        return
    async with transaction(accounts.pool) as connection:
        if await row(connection, "organization_add", id=tenant, name=tenant, by=by) is not None:
            event = OrganizationAdded(organization=tenant, reason=FIRST)
            await accounts.note(event, op=f"tenant:{tenant}", by=by, tenant=tenant)
    if len(accounts.there) >= _REMEMBERED:
        accounts.there.clear()
    accounts.there.add(tenant)


async def change(
    accounts: Accounts, who: Principal, tenant: str, wanted: OrganizationChange
) -> OrganizationView:
    """Who is let in again is so once the log says it; who is not any more, before. Raises NotFoundError."""
    event = OrganizationChanged(
        organization=tenant,
        change="disabled" if wanted.disabled else "enabled",
        reason=wanted.reason,
    )
    told = partial(
        accounts.note, event, op=f"tenant:{uuid_utils.uuid7()}", by=who.by, tenant=tenant
    )
    async with transaction(accounts.pool) as connection:
        await rows(connection, "organization_change", id=tenant, disabled=wanted.disabled)
        found = await row(connection, "organizations", id=tenant)
        if found is None:
            raise NotFoundError(f"there is no organization {tenant!r}", tenant=tenant)
        if not wanted.disabled:
            await told()
    accounts.verifier.keys.forget()
    accounts.verifier.sessions.forget()
    if wanted.disabled:
        await told()
    return msgspec.convert(found, OrganizationView)
