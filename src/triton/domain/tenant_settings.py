"""Owns what a tenant's own applications keep with it: a JSON object, beside what the tenant may use.

Connections come from `triton.domain.connection.tenant_connection`: they are in the tenant's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from triton.domain.records import Object, Write
from triton.domain.statements import sql
from triton.domain.store import Act, Connection, plain_rows
from triton.errors import PreconditionFailedError, ValidationError


class TenantSettingsWrite(Write, frozen=True):
    """What a tenant's applications keep from now on."""

    settings: Object


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant's applications keep. `version` is 0 and the rest empty where nothing was written yet; it
    rises with the tenant's quotas too, which lie in the same row."""

    tenant: str
    settings: Object = {}
    version: int = 0
    updated_at: datetime | None = None
    updated_by: str = ""


async def find(connection: Connection, tenant: str) -> TenantSettings:
    found = await _rows(connection, "settings_find", {"tenant": tenant})
    return found[0] if found else TenantSettings(tenant=tenant)


async def put(
    connection: Connection, act: Act, settings: Object, versions: Sequence[int] | None
) -> TenantSettings:
    """The next version. Raises PreconditionFailedError where they are at none of `versions` (None is any),
    ValidationError for numbers that the database does not hold."""
    values = {
        **act._asdict(),
        "settings": Jsonb(settings, dumps=msgspec.json.encode),
        "versions": versions,
    }
    try:
        made = await _rows(connection, "settings_put", values)
    except psycopg.DataError as error:
        message = f"the database refuses it: {error.diag.message_primary}"
        raise ValidationError(
            message, fields=[{"field": "settings", "message": message}]
        ) from error
    if made:
        return made[0]
    found = await find(connection, act.tenant)
    raise PreconditionFailedError(
        f"the settings are at version {found.version}, and not as If-Match knows them: read them again",
        version=found.version,
    )


async def _rows(
    connection: Connection, statement: str, values: dict[str, Any]
) -> list[TenantSettings]:
    return await plain_rows(connection, psycopg.sql.SQL(sql(statement)), values, TenantSettings)
