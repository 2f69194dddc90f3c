"""Owns how a platform gets its first admin: nobody is let in by a password that everybody knows."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import threading
import time
from pathlib import Path
from typing import Any, Final

import psycopg
import uuid_utils
from psycopg.rows import dict_row

from triton.errors import (
    ConfigurationError,
    LogError,
    UnavailableError,
    ValidationError,
    no_answer,
)
from triton.events.types import ApiKeyMade, ApiKeyRevoked, UserAdded
from triton.identity import api_keys, credentials
from triton.identity.announcing import announce
from triton.identity.credentials import Credentials
from triton.identity.passwords import Passwords, check_new
from triton.identity.permissions import Role
from triton.identity.statements import sql
from triton.settings import Settings

#: The name of the key that an embedded stack makes, and who made it.
NAME: Final = credentials.FILE
BY: Final = "system:first-start"
#: Seconds until it is tried again; the advisory lock under which first keys and users are made.
_AGAIN: Final = 5.0
_LOCK: Final = 0x747269746F6E6964


def check_auth(auth: str, address: str) -> None:
    """Raises ConfigurationError where everybody would be let in who reaches an address, and others than who
    is on this machine do."""
    if auth == "off" and not loopback(address):
        raise ConfigurationError(
            f"TRITON_AUTH is off, and the API listens on {address}: whoever reaches that address "
            "could do everything. Leave TRITON_AUTH at `required`, or listen on 127.0.0.1",
            setting="auth",
        )


def loopback(host: str) -> bool:
    """Whether only this machine reaches an IP address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def embedded_key(settings: Settings, *, ours: bool) -> None:
    """`<data>/credentials.json` with an admin's key that counts; a new one where it is missing or does not.

    With `ours`, the database is the folder's own: the keys that it had before are revoked then. Raises
    UnavailableError, ConfigurationError.
    """
    folder = Path(settings.data)
    known = credentials.read(folder)
    try:
        with psycopg.connect(
            settings.database_url, connect_timeout=10, row_factory=dict_row
        ) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if known is not None and _counts(connection, known.api_key):
                return
            if ours:
                gone = connection.execute(sql("keys_replaced"), {"name": NAME, "by": BY})
                for row in gone.fetchall():
                    revoked = ApiKeyRevoked(prefix=row["prefix"], reason="lost")
                    announce(settings, revoked, op=f"revoke:{row['prefix']}", by=BY)
            key = add_key(settings, connection, name=NAME, by=BY)
            # Before the commit: a key that nobody has is nothing, but one that is lost stays for ever.
            credentials.write(folder, Credentials(key.text))
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error


def ensure_admin(settings: Settings) -> None:
    """`first_admin`, now or as soon as the engines answer and have their tables: an API starts without them.

    Raises ConfigurationError.
    """

    def done() -> bool:
        try:
            first_admin(settings)
        except (UnavailableError, LogError, psycopg.errors.UndefinedTable):
            return False
        return True

    def keep_trying() -> None:
        while not done():
            time.sleep(_AGAIN)

    _password(settings)
    if not done():
        threading.Thread(target=keep_trying, daemon=True, name="first-admin").start()


def first_admin(settings: Settings) -> None:
    """The first start of a platform: the admin that the settings name a password for, where there is none
    with that login; else, where nobody can get in, an admin's key in `<data>/credentials.json`.

    Raises UnavailableError, ConfigurationError.
    """
    password = _password(settings)
    try:
        with psycopg.connect(
            settings.database_url, connect_timeout=10, row_factory=dict_row
        ) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if password:
                _add_admin(settings, connection, password)
            elif not _anybody(connection):
                key = add_key(settings, connection, name=NAME, by=BY)
                credentials.write(Path(settings.data), Credentials(key.text))
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error
    except OSError as error:
        raise ConfigurationError(
            f"nobody can log in yet, and {Path(settings.data) / NAME} cannot be written "
            f"({error.strerror}): give the first admin's password with TRITON_ADMIN_PASSWORD_FILE, or let "
            "TRITON_DATA name a folder that may be written",
            setting="data",
        ) from error


def recovered_key(settings: Settings) -> api_keys.NewKey:
    """An admin's key for who reaches the database and the log themselves. Raises UnavailableError."""
    try:
        with psycopg.connect(settings.database_url, connect_timeout=10) as connection:
            return add_key(settings, connection, name="recovered", by="system:recovery")
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error


def _password(settings: Settings) -> str:
    if settings.admin_password or not settings.admin_password_file:
        found = settings.admin_password
    else:
        try:
            found = Path(settings.admin_password_file).read_text().strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"TRITON_ADMIN_PASSWORD_FILE names {settings.admin_password_file}, which cannot be read",
                setting="admin_password_file",
            ) from error
    if found:
        try:
            check_new(found)
        except ValidationError as error:
            raise ConfigurationError(
                f"TRITON_ADMIN_PASSWORD: {error.message}", setting="admin_password"
            ) from error
    return found


def _add_admin(settings: Settings, connection: psycopg.Connection[Any], password: str) -> None:
    login = settings.admin_login.strip().lower()
    if connection.execute(sql("login_find"), {"login": login}).fetchone() is not None:
        return
    new = str(uuid_utils.uuid7())
    values = {"id": new, "login": login, "name": "", "tenant": ""}
    values |= {
        "role": Role.ADMIN.value,
        "hash": asyncio.run(Passwords(settings.password_kib).hashed(password)),
    }
    connection.execute(sql("user_add"), {**values, "by": BY})
    announce(settings, UserAdded(user=new, role=Role.ADMIN.value), op=f"user:{new}", by=BY)


def _anybody(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute(sql("anybody")).fetchone()
    return bool(found and next(iter(found.values())))


def add_key(
    settings: Settings, connection: psycopg.Connection[Any], *, name: str, by: str
) -> api_keys.NewKey:
    """An admin's key of the platform, in the connection's transaction, with its event."""
    key = api_keys.new_key()
    values: dict[str, Any] = {
        "prefix": key.prefix,
        "sha256": key.sha256,
        "name": name,
        "tenant": "",
        "role": Role.ADMIN.value,
        "scopes": [],
        "owner": "",
        "by": by,
        "expires_at": None,
    }
    connection.execute(sql("key_add"), values)
    made = ApiKeyMade(prefix=key.prefix, role=Role.ADMIN.value, reason=name)
    announce(settings, made, op=f"key:{key.prefix}", by=by)
    return key


def _counts(connection: psycopg.Connection[Any], text: str) -> bool:
    prefix = api_keys.prefix_of(text)
    row = connection.execute(sql("key_find"), {"prefix": prefix}).fetchone() if prefix else None
    return (
        row is not None
        and not row["revoked"]
        and not row["disabled"]
        and hmac.compare_digest(bytes(row["sha256"]), api_keys.digest(text))
    )
