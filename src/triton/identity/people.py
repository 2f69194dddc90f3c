"""Owns what admins do with users: made, changed, disabled, each with its event.

Who makes or changes a user may all that this user may: nobody gives what they do not have.
"""

from __future__ import annotations

from typing import Any

import psycopg
import uuid_utils

from triton.errors import ConflictError, ForbiddenError, NotFoundError
from triton.events.types import UserAdded, UserChanged
from triton.identity.asking import Connection, row, rows, transaction
from triton.identity.opening import Accounts
from triton.identity.passwords import check_hash, check_new
from triton.identity.permissions import Role, permitted
from triton.identity.principal import Principal
from triton.identity.views import (
    PasswordChange,
    UserChange,
    UserView,
    UserWrite,
    user_view,
)


async def add(accounts: Accounts, who: Principal, wanted: UserWrite) -> UserView:
    """Raises ForbiddenError, ConflictError (the login), NotFoundError (the tenant), ValidationError."""
    tenant = _tenant(who, wanted.tenant)
    _demand_all(who, wanted.role, tenant)
    if wanted.password is not None:
        check_new(wanted.password)
        stored: str | None = await accounts.passwords.hashed(wanted.password)
    else:
        stored = wanted.password_hash
        if stored is not None:
            check_hash(stored)
    new = str(uuid_utils.uuid7())
    async with transaction(accounts.pool) as connection:
        try:
            await rows(
                connection,
                "user_add",
                id=new,
                login=wanted.login.lower(),
                name=wanted.name,
                tenant=tenant,
                role=wanted.role.value,
                hash=stored,
                by=who.by,
            )
        except psycopg.errors.UniqueViolation as error:
            raise ConflictError("there is a user with this login already") from error
        except psycopg.errors.ForeignKeyViolation as error:
            raise NotFoundError(
                f"there is no organization {tenant!r}: make it first", tenant=tenant
            ) from error
        added = UserAdded(user=new, role=wanted.role.value, reason=wanted.reason)
        await accounts.note(added, op=f"user:{new}", by=who.by, tenant=tenant)
        return user_view(await _row(connection, new))


async def find(accounts: Accounts, who: Principal, user: str) -> UserView:
    """By id or login. Raises NotFoundError, also for what is another tenant's."""
    async with transaction(accounts.pool) as connection:
        return user_view(await _seen(connection, who, user))


async def change(accounts: Accounts, who: Principal, user: str, wanted: UserChange) -> UserView:
    """Raises NotFoundError, ForbiddenError, ConflictError for one's own role and standing."""
    if wanted.password is not None:
        check_new(wanted.password)
    hashed = await accounts.passwords.hashed(wanted.password) if wanted.password else None
    async with transaction(accounts.pool) as connection:
        found = await _seen(connection, who, user, hold=True)
        if found["id"] == who.user and (wanted.role or wanted.disabled is not None):
            raise ConflictError("nobody changes their own role, or disables themselves")
        before, tenant = Role(found["role"]), found["tenant"]
        _demand_all(who, before, tenant)
        _demand_all(who, wanted.role or before, tenant)
        disabled = found["disabled"] if wanted.disabled is None else wanted.disabled
        await rows(
            connection,
            "user_change",
            user=found["id"],
            role=(wanted.role or before).value,
            name=found["name"] if wanted.name is None else wanted.name,
            hash=hashed or found["password_hash"],
            disabled=disabled,
        )
        changed: list[UserChanged] = []
        if wanted.role not in (None, before):
            changed.append(
                UserChanged(
                    user=found["id"],
                    change="role",
                    value=str(wanted.role),
                    before=before.value,
                    reason=wanted.reason,
                )
            )
        if disabled != found["disabled"]:
            what = "disabled" if disabled else "enabled"
            changed.append(UserChanged(user=found["id"], change=what, reason=wanted.reason))
        if hashed:
            changed.append(UserChanged(user=found["id"], change="password", reason=wanted.reason))
        ended = []
        if hashed or disabled:
            ended = await accounts.sessions.end_all(
                connection, found["id"], tenant, "password" if hashed else "disabled", by=who.by
            )
        for one in changed:
            await accounts.note(one, op=f"user:{uuid_utils.uuid7()}", by=who.by, tenant=tenant)
        view = user_view(await _row(connection, found["id"]))
    _forget(accounts, ended)
    return view


async def change_password(
    accounts: Accounts, who: Principal, wanted: PasswordChange, address: str
) -> None:
    """One's own. Raises ForbiddenError for a wrong current one and for who is no user, TooManyLoginsError."""
    if not who.session:
        raise ConflictError("an API key has no password: log in")
    check_new(wanted.password)
    async with transaction(accounts.pool) as connection:
        found = await _row(connection, who.user)
    await accounts.sessions.confirm(found, wanted.current, address)
    hashed = await accounts.passwords.hashed(wanted.password)
    async with transaction(accounts.pool) as connection:
        await row(connection, "user_hold", user=who.user)
        found = await _row(connection, who.user)
        await rows(
            connection,
            "user_change",
            user=who.user,
            role=found["role"],
            name=found["name"],
            hash=hashed,
            disabled=found["disabled"],
        )
        ended = await accounts.sessions.end_all(
            connection, who.user, who.tenant, "password", by=who.by, but=who.session
        )
        changed = UserChanged(user=who.user, change="password")
        await accounts.note(changed, op=f"user:{uuid_utils.uuid7()}", by=who.by, tenant=who.tenant)
    _forget(accounts, ended)


def _tenant(who: Principal, named: str | None) -> str:
    """The tenant of somebody new; without a name that of who asks."""
    return who.reads(named) or ""


def _demand_all(who: Principal, role: Role, tenant: str) -> None:
    """Raises ForbiddenError where that role could do what who asks cannot."""
    more = permitted(role, tenant) - who.permissions
    if more:
        raise ForbiddenError(
            f"{who.by} does not have all that the role {role.value} has: {sorted(more)[0]} for one",
            permission=sorted(more)[0],
        )


async def _row(connection: Connection, user: str) -> dict[str, Any]:
    found = await row(connection, "user_find", user=user)
    if found is None:
        raise NotFoundError(f"there is no user {user!r}", user=user)
    return found


async def _seen(
    connection: Connection, who: Principal, user: str, *, hold: bool = False
) -> dict[str, Any]:
    """With `hold` nobody else changes the user until the end of the transaction."""
    named = user.lower() if "@" in user else user
    if hold:
        await row(connection, "user_hold", user=named)
    found = await row(connection, "user_find", user=named)
    if found is None or not who.sees(found["tenant"]):
        raise NotFoundError(f"there is no user {user!r}", user=user)
    return found


def _forget(accounts: Accounts, sessions: list[str]) -> None:
    for session in sessions:
        accounts.verifier.sessions.forget(session)
    # Keys know what their owner may.
    accounts.verifier.keys.forget()
    accounts.verifier.sessions.forget()
