"""Owns who a request comes from, whatever proved it: a key, a token, or nothing where that is allowed.

Pure.
"""

from __future__ import annotations

from typing import Final

import msgspec

from triton.errors import ForbiddenError
from triton.identity.permissions import Permission, Role, permitted
from triton.submit import DEFAULT_TENANT


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """`by` is who caused the events of a request: `user:ID`, `key:PREFIX`, `stream:ID`, `system:NAME`."""

    by: str
    #: Empty: every tenant.
    tenant: str
    role: Role
    permissions: frozenset[Permission]
    #: Of a key or token: what it was made for; empty for all that its role may.
    scopes: tuple[str, ...] = ()
    #: When what proved it ends, milliseconds since 1970; None for never.
    expires_at_ms: int | None = None
    #: The user's id, where a person is behind it; of a key, its owner's.
    user: str = ""
    #: The session's id, of a person who logged in.
    session: str = ""
    #: Of a stream token, what it was made with: `key:PREFIX` or `session:ID`; it ends with that.
    made_with: str = ""

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    @property
    def any_tenant(self) -> bool:
        """Whether it sees all tenants, and may name any."""
        return Permission.TENANTS_ANY in self.permissions

    def demand(self, permission: Permission) -> None:
        """Raises ForbiddenError."""
        if permission not in self.permissions:
            raise ForbiddenError(
                f"this needs the permission {permission.value}, which {self.by} (role {self.role.value}"
                f"{', scoped' if self.scopes else ''}) does not have",
                permission=permission.value,
            )

    def writes_as(self, named: str | None) -> str:
        """The tenant of what it makes. Raises ForbiddenError where it names another that is not its own."""
        return self._checked(named) or self.tenant or DEFAULT_TENANT

    def reads(self, named: str | None) -> str | None:
        """The tenant to filter by; None is every one. Raises ForbiddenError as `writes_as`."""
        return self._checked(named) or (None if self.any_tenant else self.tenant)

    def sees(self, tenant: str) -> bool:
        """Whether what is of this tenant is there for it."""
        return self.any_tenant or tenant == self.tenant

    def _checked(self, named: str | None) -> str | None:
        if named and not self.sees(named):
            raise ForbiddenError(
                f"{self.by} belongs to the tenant {self.tenant!r} and may name no other",
                tenant=named,
            )
        return named


def principal_of(
    by: str,
    role: Role,
    tenant: str,
    *,
    scopes: tuple[str, ...] = (),
    expires_at_ms: int | None = None,
    user: str = "",
    session: str = "",
) -> Principal:
    """The principal with what the table permits it."""
    return Principal(
        by=by,
        tenant=tenant,
        role=role,
        permissions=permitted(role, tenant, scopes),
        scopes=scopes,
        expires_at_ms=expires_at_ms,
        user=user,
        session=session,
    )


#: Everybody, where nobody has to say who they are (`auth` is off): all is permitted, in the default tenant.
ANYBODY: Final = Principal(
    by="user:anonymous",
    tenant=DEFAULT_TENANT,
    role=Role.ADMIN,
    permissions=permitted(Role.ADMIN, ""),
)
