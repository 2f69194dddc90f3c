"""Owns what prospects' dashboards show: for each template the newest data, put there by a job or a person.

Connections come from `triton.domain.connection.tenant_connection`: they are in the tenant's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from triton.domain.records import Line, Object, Write
from triton.domain.run_records import Moment
from triton.domain.statements import sql
from triton.domain.store import Act, Connection, plain_rows
from triton.errors import NotFoundError, PreconditionFailedError, ValidationError


class ProspectDashboardWrite(Write, frozen=True):
    """What a dashboard shows from now on. Without `as_of` it is of this moment."""

    data: Object
    #: The job that made it; empty where a person did.
    job: Line = ""
    as_of: Moment | None = None


class ProspectDashboard(msgspec.Struct, frozen=True, kw_only=True):
    """What a prospect's dashboard shows by one template, and of when that is."""

    tenant: str
    prospect: UUID
    template: UUID
    data: Object
    job: str
    as_of: datetime
    version: int
    updated_at: datetime
    updated_by: str


class ProspectDashboardPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page, by template. `next` goes into the next request; null on the last page."""

    items: list[ProspectDashboard]
    next: str | None


async def page(
    connection: Connection, tenant: str, prospect: UUID, *, after: UUID | None, limit: int
) -> list[ProspectDashboard]:
    """By template, after one of them."""
    values = {"tenant": tenant, "prospect": prospect, "after": after, "limit": limit}
    return await _rows(connection, "dashboard_page", values)


async def find(
    connection: Connection, tenant: str, prospect: UUID, template: UUID
) -> ProspectDashboard:
    """Raises NotFoundError."""
    values = {"tenant": tenant, "prospect": prospect, "template": template}
    found = await _rows(connection, "dashboard_find", values)
    if not found:
        raise NotFoundError(
            f"the prospect {prospect} has no data of the dashboard template {template} here",
            prospect=str(prospect),
            template=str(template),
        )
    return found[0]


async def add(
    connection: Connection,
    act: Act,
    prospect: UUID,
    template: UUID,
    written: ProspectDashboardWrite,
) -> ProspectDashboard:
    """The first data. Raises PreconditionFailedError where there is some, NotFoundError for a prospect or
    template that is not there, ValidationError."""
    try:
        made = await _rows(connection, "dashboard_add", _values(act, prospect, template, written))
    except psycopg.errors.ForeignKeyViolation as error:
        raise NotFoundError(
            f"there is no prospect {prospect}, or no dashboard template {template}, here",
            prospect=str(prospect),
            template=str(template),
        ) from error
    if not made:
        raise PreconditionFailedError(
            "there is data already: read it, and send its ETag as If-Match to replace it"
        )
    return made[0]


async def replace(
    connection: Connection,
    act: Act,
    prospect: UUID,
    template: UUID,
    written: ProspectDashboardWrite,
    versions: Sequence[int] | None,
) -> ProspectDashboard:
    """The next data. Raises NotFoundError, PreconditionFailedError where it is at none of `versions` (None is
    any), ValidationError."""
    values = {**_values(act, prospect, template, written), "versions": versions}
    made = await _rows(connection, "dashboard_replace", values)
    return made[0] if made else await _refused(connection, act.tenant, prospect, template)


async def remove(
    connection: Connection,
    act: Act,
    prospect: UUID,
    template: UUID,
    versions: Sequence[int] | None,
) -> ProspectDashboard:
    """The data as it was last. Raises as `replace`."""
    values = {"tenant": act.tenant, "prospect": prospect, "template": template}
    gone = await _rows(connection, "dashboard_remove", {**values, "versions": versions})
    return gone[0] if gone else await _refused(connection, act.tenant, prospect, template)


async def _refused(
    connection: Connection, tenant: str, prospect: UUID, template: UUID
) -> ProspectDashboard:
    found = await find(connection, tenant, prospect, template)
    raise PreconditionFailedError(
        f"the data is at version {found.version}, and not as If-Match knows it: read it again",
        version=found.version,
    )


async def _rows(
    connection: Connection, statement: str, values: dict[str, Any]
) -> list[ProspectDashboard]:
    try:
        return await plain_rows(
            connection, psycopg.sql.SQL(sql(statement)), values, ProspectDashboard
        )
    except psycopg.DataError as error:
        message = f"the database refuses it: {error.diag.message_primary}"
        raise ValidationError(message, fields=[{"field": "data", "message": message}]) from error


def _values(
    act: Act, prospect: UUID, template: UUID, written: ProspectDashboardWrite
) -> dict[str, Any]:
    return {
        **act._asdict(),
        "prospect": prospect,
        "template": template,
        "data": Jsonb(written.data, dumps=msgspec.json.encode),
        "job": written.job,
        "as_of": written.as_of or act.at,
    }
