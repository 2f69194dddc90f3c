"""Owns how a platform gets its first admin: nobody is let in by a password that everybody knows."""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from triton.errors import ConfigurationError, UnavailableError, no_answer
from triton.identity import api_keys, credentials
from triton.identity.credentials import Credentials
from triton.identity.permissions import Role
from triton.identity.statements import sql
from triton.settings import Settings

#: The name of the key that an embedded stack makes, and who made it.
NAME: Final = credentials.FILE
BY: Final = "system:first-start"
#: The advisory lock under which first keys and users are made.
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
                connection.execute(sql("keys_replaced"), {"name": NAME, "by": BY})
            key = add_key(connection, name=NAME, role=Role.ADMIN, by=BY)
            # Before the commit: a key that nobody has is nothing, but one that is lost stays for ever.
            credentials.write(folder, Credentials(key.text))
    except psycopg.OperationalError as error:
        raise UnavailableError(no_answer("PostgreSQL", error)) from error


def add_key(
    connection: psycopg.Connection[Any], *, name: str, role: Role, by: str
) -> api_keys.NewKey:
    """A key of the platform, in the connection's transaction."""
    key = api_keys.new_key()
    values: dict[str, Any] = {
        "prefix": key.prefix,
        "sha256": key.sha256,
        "name": name,
        "tenant": "",
        "role": role.value,
        "scopes": [],
        "owner": "",
        "by": by,
        "expires_at": None,
    }
    connection.execute(sql("key_add"), values)
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
