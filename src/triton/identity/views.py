"""Owns how users, keys, organizations and sessions look on the wire, and what may be written of them.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from triton.identity.permissions import Permission, Role
from triton.identity.principal import Principal

_Text = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
#: What a person types to log in; a tenant's id.
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]+\Z")]
_Secret = Annotated[str, msgspec.Meta(max_length=1024)]
_Reason = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*\Z")]


class _Write(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    #: Why, in a person's words; it is in the event.
    reason: _Reason = ""


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who logs in."""

    login: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*\Z")]
    password: _Secret

    def __repr__(self) -> str:
        return "Login(...)"


class Refresh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token, which counts once."""

    refresh_token: _Secret

    def __repr__(self) -> str:
        return "Refresh(...)"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the API knows it. An empty tenant is every one."""

    by: str
    user: str
    session: str
    tenant: str
    role: Role
    scopes: list[str]
    permissions: list[Permission]
    #: When what proved it ends, milliseconds since 1970.
    expires_at_ms: int | None


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's own password: all other sessions end."""

    current: _Secret
    password: _Secret

    def __repr__(self) -> str:
        return "PasswordChange(...)"


class UserWrite(_Write, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new user. Without a password (or a hash of one, from elsewhere) it cannot log in."""

    login: _Name
    role: Role
    name: _Text = ""
    #: Without one: that of who asks, which is every tenant for the platform's admins.
    tenant: _Name | None = None
    password: _Secret | None = None
    #: argon2id, or bcrypt, which the next login replaces.
    password_hash: _Secret | None = None

    def __repr__(self) -> str:
        return f"UserWrite({self.login!r})"


class UserChange(_Write, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is not given stays. A new password, and being disabled, end all sessions."""

    role: Role | None = None
    name: _Text | None = None
    disabled: bool | None = None
    password: _Secret | None = None

    def __repr__(self) -> str:
        return "UserChange(...)"


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """A user; nothing of the password."""

    id: str
    login: str
    name: str
    tenant: str
    role: Role
    has_password: bool
    disabled: bool
    created_at: datetime
    created_by: str
    last_login_at: datetime | None


class UserPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first. `next` goes into the next request; null on the last page."""

    users: list[UserView]
    next: str | None


class KeyWrite(_Write, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new API key. It may no more than who makes it."""

    name: _Text = ""
    #: Without one: the role of who asks.
    role: Role | None = None
    tenant: _Name | None = None
    #: Permissions; empty for all of the role.
    scopes: Annotated[list[Permission], msgspec.Meta(max_length=100)] = []
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    #: The user whose key it is, by id; empty for nobody's. Without it: who asks.
    owner: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*\Z")] | None = None


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An API key; nothing of its secret. `last_used_at` is up to half a minute late."""

    prefix: str
    name: str
    tenant: str
    role: Role
    scopes: list[str]
    owner: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str


class KeyMade(KeyView, frozen=True, kw_only=True):
    """The same with the key itself, this once."""

    key: str

    def __repr__(self) -> str:
        return f"KeyMade({self.prefix})"


class KeyPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first. `next` goes into the next request; null on the last page."""

    keys: list[KeyView]
    next: str | None


class OrganizationWrite(_Write, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new tenant; jobs carry its id."""

    id: _Name
    name: _Text = ""


class OrganizationChange(_Write, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether people and keys of a tenant are let in."""

    disabled: bool


class OrganizationView(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: str
    name: str
    created_at: datetime
    created_by: str
    disabled: bool


class Organizations(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, by id."""

    organizations: list[OrganizationView]


def user_view(found: Mapping[str, Any]) -> UserView:
    return msgspec.convert({name: found[name] for name in UserView.__struct_fields__}, UserView)


def key_view(found: Mapping[str, Any]) -> KeyView:
    return msgspec.convert({name: found[name] for name in KeyView.__struct_fields__}, KeyView)


def me_of(who: Principal) -> Me:
    return Me(
        by=who.by,
        user=who.user,
        session=who.session,
        tenant=who.tenant,
        role=who.role,
        scopes=list(who.scopes),
        permissions=sorted(who.permissions),
        expires_at_ms=who.expires_at_ms,
    )
