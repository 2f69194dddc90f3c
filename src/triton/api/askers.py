"""Owns the dependencies of routes that answer who acts on what a tenant keeps, and in whose name."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Path, Query

from triton.api.access import requires
from triton.api.parameters import Name
from triton.api.records import Asker
from triton.identity.permissions import Permission
from triton.identity.principal import Principal

# No deferred annotations here: each permission makes a dependency of its own.

RecordId = Annotated[UUID, Path(description="The record's id.")]


def writing(permission: Permission) -> Any:
    """The dependency that answers who changes something."""

    async def asker(
        who: Annotated[Principal, requires(permission)],
        tenant: Name = None,
        reason: Annotated[
            str,
            Query(max_length=2000, pattern=r"^[^\x00]*$", description="Why; kept in the event."),
        ] = "",
    ) -> Asker:
        return Asker(who.by, who.writes_as(tenant), reason)

    return Depends(asker)


def reading(permission: Permission) -> Any:
    """The dependency that answers who looks: at one tenant, also who sees all of them."""

    async def asker(who: Annotated[Principal, requires(permission)], tenant: Name = None) -> Asker:
        return Asker(who.by, who.writes_as(tenant))

    return Depends(asker)


WRITING: Final = writing(Permission.DOMAIN_WRITE)
READING: Final = reading(Permission.DOMAIN_READ)
