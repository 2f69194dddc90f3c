"""Owns what there is to be permitted, and the one table of who may do it. Pure.

A route names its permission with `requires(Permission.X)` (see `triton.api.access`); what a principal may is
what its role may, less what its scopes leave out, and less what is the platform's where it has a tenant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """From the one who may everything to the one who only looks."""

    ADMIN = "admin"
    OPERATOR = "operator"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    VIEWER = "viewer"


class Permission(StrEnum):
    """`what.how`. The value is also the scope of an API key."""

    #: What everybody may who is somebody: ask who one is, log out.
    SELF = "self"
    JOBS_READ = "jobs.read"
    JOBS_SUBMIT = "jobs.submit"
    #: Cancel and requeue.
    JOBS_ACT = "jobs.act"
    #: Streams and histories.
    EVENTS_READ = "events.read"
    QUEUES_READ = "queues.read"
    #: Who lives, and which jobs they hold: of all tenants.
    WORKERS_READ = "workers.read"
    #: Pause, drain and resume: queues are shared by all tenants.
    QUEUES_ACT = "queues.act"
    DOCUMENTS_READ = "documents.read"
    DOCUMENTS_WRITE = "documents.write"
    AUDIT_READ = "audit.read"
    #: Clients, value propositions, prospects, templates, ROI models, prompts, models, analytics.
    DOMAIN_READ = "domain.read"
    DOMAIN_WRITE = "domain.write"
    #: What a tenant has configured; its secrets are never read.
    TENANT_READ = "tenant.read"
    TENANT_CONFIGURE = "tenant.configure"
    USERS_READ = "users.read"
    USERS_MANAGE = "users.manage"
    #: API keys of one's own.
    KEYS_OWN = "keys.own"
    #: API keys of everybody, and such as are nobody's.
    KEYS_MANAGE = "keys.manage"
    METRICS_READ = "metrics.read"
    #: Organizations are made and closed.
    TENANTS_MANAGE = "tenants.manage"
    #: Name another tenant in a request, and see all of them.
    TENANTS_ANY = "tenants.any"


#: Only who has no tenant of its own may these, whatever its role.
PLATFORM: Final = frozenset(
    {
        Permission.QUEUES_ACT,
        Permission.WORKERS_READ,
        Permission.METRICS_READ,
        Permission.TENANTS_MANAGE,
        Permission.TENANTS_ANY,
    }
)

_LOOK: Final = frozenset(
    {
        Permission.SELF,
        Permission.JOBS_READ,
        Permission.EVENTS_READ,
        Permission.QUEUES_READ,
        Permission.WORKERS_READ,
        Permission.DOCUMENTS_READ,
        Permission.DOMAIN_READ,
        Permission.TENANTS_ANY,
    }
)
_WORK: Final = frozenset(
    {Permission.JOBS_SUBMIT, Permission.JOBS_ACT, Permission.DOCUMENTS_WRITE, Permission.KEYS_OWN}
)

#: The table.
ROLES: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.OPERATOR: _LOOK
    | _WORK
    | {Permission.QUEUES_ACT, Permission.METRICS_READ, Permission.TENANT_READ},
    Role.DEVELOPER: _LOOK | _WORK | {Permission.DOMAIN_WRITE, Permission.TENANT_READ},
    Role.AUDITOR: _LOOK
    | {
        Permission.AUDIT_READ,
        Permission.USERS_READ,
        Permission.TENANT_READ,
        Permission.METRICS_READ,
        Permission.KEYS_OWN,
    },
    Role.VIEWER: _LOOK,
}


def permitted(role: Role, tenant: str, scopes: Collection[str] = ()) -> frozenset[Permission]:
    """What a principal may. Without scopes all that its role may; `self` always stays."""
    found = ROLES[role]
    if tenant:
        found -= PLATFORM
    if scopes:
        found = frozenset(one for one in found if one in scopes or one in _UNSCOPED)
    return found


#: Scopes say what is done; they neither hide who one is, nor widen or narrow the tenants that are seen.
_UNSCOPED: Final = frozenset({Permission.SELF, Permission.TENANTS_ANY})
