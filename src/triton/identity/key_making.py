"""Owns making, showing and revoking API keys over the API, each with its event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from triton.errors import ForbiddenError, NotFoundError, ValidationError
from triton.events.envelope import to_microseconds
from triton.events.types import ApiKeyMade, ApiKeyRevoked
from triton.identity.api_keys import new_key
from triton.identity.asking import row, rows, transaction
from triton.identity.opening import Accounts
from triton.identity.permissions import Permission, permitted
from triton.identity.principal import Principal
from triton.identity.views import KeyMade, KeyView, KeyWrite, key_view


async def make(accounts: Accounts, who: Principal, wanted: KeyWrite) -> KeyMade:
    """Raises ForbiddenError for a key that may what who asks may not, NotFoundError, ValidationError."""
    role, tenant = wanted.role or who.role, who.reads(wanted.tenant) or ""
    scopes = sorted(set(wanted.scopes or who.scopes))
    more = permitted(role, tenant, scopes) - who.permissions
    if more:
        raise ForbiddenError(
            f"the key could do what {who.by} cannot: {sorted(more)[0]} for one",
            permission=sorted(more)[0],
        )
    owner = who.user if wanted.owner is None else wanted.owner
    if owner != who.user or not owner:
        # Of one's own everybody makes some; a key that is nobody's has none of its own.
        who.demand(Permission.KEYS_MANAGE)
    if wanted.expires_at is not None and wanted.expires_at <= datetime.now(UTC):
        raise ValidationError(
            "expires_at is past", fields=[{"field": "expires_at", "message": "is past"}]
        )
    expires_at = _ends(who, wanted.expires_at)
    key = new_key()
    async with transaction(accounts.pool) as connection:
        if owner:
            held = await row(connection, "user_find", user=owner)
            if held is None or held["id"] != owner or not who.sees(held["tenant"]):
                raise NotFoundError(f"there is no user {owner!r}", user=owner)
            tenant = held["tenant"] or tenant
        try:
            await rows(
                connection,
                "key_add",
                prefix=key.prefix,
                sha256=key.sha256,
                name=wanted.name,
                tenant=tenant,
                role=role.value,
                scopes=[str(one) for one in scopes],
                owner=owner,
                by=who.by,
                expires_at=expires_at,
            )
        except psycopg.errors.ForeignKeyViolation as error:
            raise NotFoundError(
                f"there is no organization {tenant!r}: make it first", tenant=tenant
            ) from error
        made = ApiKeyMade(
            prefix=key.prefix,
            role=role.value,
            scopes=[str(one) for one in scopes],
            owner=owner,
            expires=to_microseconds(expires_at) if expires_at else 0,
            reason=wanted.reason,
        )
        # Before the commit: a key that is not in the log is none.
        await accounts.note(made, op=f"key:{key.prefix}", by=who.by, tenant=tenant)
        (view,) = await rows(connection, "keys_page", **_page(prefix=key.prefix))
    return KeyMade(**{name: view[name] for name in KeyView.__struct_fields__}, key=key.text)


async def page(
    accounts: Accounts,
    who: Principal,
    *,
    tenant: str | None,
    last_at: datetime | None,
    last: str | None,
    limit: int,
) -> list[KeyView]:
    """Those that who asks may see: its own, or all of its tenants for who manages keys."""
    async with transaction(accounts.pool) as connection:
        found = await rows(
            connection,
            "keys_page",
            **_page(
                tenant=who.reads(tenant),
                owner=None if who.may(Permission.KEYS_MANAGE) else who.user,
                last_at=last_at,
                last=last,
                limit=limit,
            ),
        )
    return [key_view(one) for one in found]


async def revoke(accounts: Accounts, who: Principal, prefix: str, reason: str) -> None:
    """Again is no error. First the row, then the event: it is over also where that cannot be written down.

    Raises NotFoundError, also for a key that is not seen.
    """
    async with transaction(accounts.pool) as connection:
        found = await rows(connection, "keys_page", **_page(prefix=prefix))
        manages = who.may(Permission.KEYS_MANAGE)
        if not found or not (
            who.sees(found[0]["tenant"])
            and (manages or (who.user and found[0]["owner"] == who.user))
        ):
            raise NotFoundError(f"there is no API key {prefix!r}", prefix=prefix)
        await rows(connection, "key_revoke", prefix=prefix, by=who.by)
    accounts.verifier.keys.forget(prefix)
    event = ApiKeyRevoked(prefix=prefix, owner=found[0]["owner"], reason=reason)
    await accounts.note(event, op=f"revoke:{prefix}", by=who.by, tenant=found[0]["tenant"])


def _ends(who: Principal, wanted: datetime | None) -> datetime | None:
    """When a new key ends: one that is made with a key ends with that at the latest. Who has a copy of it
    would otherwise be in for ever. Raises ForbiddenError."""
    if not who.by.startswith("key:") or who.expires_at_ms is None:
        return wanted
    most = datetime.fromtimestamp(who.expires_at_ms / 1000, UTC)
    if wanted is not None and wanted > most:
        raise ForbiddenError(
            f"{who.by} ends at {most.isoformat()} and makes none that ends later: log in, or use another",
            expires_at=most.isoformat(),
        )
    return wanted or most


def _page(**given: Any) -> dict[str, Any]:
    none = dict.fromkeys(("tenant", "owner", "prefix", "last_at", "last"))
    return {**none, "limit": 1, **given}
