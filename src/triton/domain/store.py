"""Owns the records of the domain in PostgreSQL: made, read, replaced and removed, all kinds alike.

Connections come from `triton.domain.connection.tenant_connection`: they are in the tenant's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from triton.domain.kinds import Kind
from triton.domain.records import Entry, PromptVersion, Write
from triton.domain.statements import sql, statement
from triton.errors import (
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    ValidationError,
)

Connection: TypeAlias = psycopg.AsyncConnection[Any]

T = TypeVar("T")


class Act(NamedTuple):
    """Who writes, in whose name, when."""

    tenant: str
    by: str
    at: datetime


async def create(connection: Connection, kind: Kind, written: Write, act: Act, new: UUID) -> Entry:
    """The new record. Raises ConflictError for a name that is taken, ValidationError for a reference to what
    is not there."""
    name = "append" if kind.history else "insert"
    row = await _changed(connection, kind, name, {**_values(kind, written), "id": new}, act)
    assert row is not None
    return row


async def replace(
    connection: Connection,
    kind: Kind,
    record: UUID,
    written: Write,
    act: Act,
    versions: Sequence[int] | None,
) -> Entry:
    """The record's next version. Raises NotFoundError, PreconditionFailedError where it is at none of
    `versions` (None is any), and as `create`."""
    values = {**_values(kind, written), "id": record, "versions": versions}
    row = await _changed(connection, kind, "update", values, act)
    return row or await _refused(connection, kind, record, act.tenant)


async def remove(
    connection: Connection, kind: Kind, record: UUID, act: Act, versions: Sequence[int] | None
) -> Entry:
    """The record as it was last. Raises as `replace`, and ConflictError where something refers to it."""
    row = await _changed(connection, kind, "delete", {"id": record, "versions": versions}, act)
    return row or await _refused(connection, kind, record, act.tenant)


async def find(connection: Connection, kind: Kind, record: UUID, tenant: str) -> Entry:
    """Raises NotFoundError."""
    rows = await plain_rows(
        connection, statement("find", kind), {"tenant": tenant, "id": record}, kind.read
    )
    if not rows:
        raise _unknown(kind, record)
    return rows[0]


async def page(
    connection: Connection,
    kind: Kind,
    chosen: Mapping[str, Any],
    tenant: str,
    *,
    last: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Entry]:
    """The newest that have what is `chosen`, after `last`."""
    names = tuple(name for name in kind.filters if chosen.get(name) is not None)
    values = {name: chosen[name] for name in names}
    at, record = last or (None, None)
    values |= {"tenant": tenant, "last_at": at, "last_id": record, "limit": limit}
    return await plain_rows(connection, statement("page", kind, names), values, kind.read)


async def prompt_versions(
    connection: Connection, prompt: UUID, tenant: str, version: int | None = None
) -> list[PromptVersion]:
    """All versions of a prompt, newest first, or the one; none where there is no such prompt."""
    values = {"prompt": prompt, "tenant": tenant, "version": version}
    return await plain_rows(
        connection, psycopg.sql.SQL(sql("prompt_versions")), values, PromptVersion
    )


async def _changed(
    connection: Connection, kind: Kind, name: str, values: Mapping[str, Any], act: Act
) -> Entry | None:
    try:
        rows = await plain_rows(
            connection, statement(name, kind), {**values, **act._asdict()}, kind.read
        )
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(
            f"there is {kind.said} of this {kind.unique} already: choose another {kind.unique}",
            field=kind.unique,
        ) from error
    except psycopg.errors.ForeignKeyViolation as error:
        if name == "delete":
            raise ConflictError(
                f"{kind.said} that something else refers to cannot be removed: remove that first"
            ) from error
        # Constraints have PostgreSQL's own names: TABLE_tenant_COLUMN_fkey.
        said = error.diag.constraint_name or ""
        field = said.removeprefix(f"{kind.table}_tenant_").removesuffix("_fkey")
        raise _misfit(field, f"there is no {field} of this id") from error
    except (psycopg.errors.CheckViolation, psycopg.DataError) as error:
        raise _misfit("", f"the database refuses it: {error.diag.message_primary}") from error
    return rows[0] if rows else None


async def _refused(connection: Connection, kind: Kind, record: UUID, tenant: str) -> Entry:
    found = await find(connection, kind, record, tenant)
    raise PreconditionFailedError(
        f"the {kind.name} is at version {found.version}, and not as If-Match knows it: read it again",
        version=found.version,
    )


async def plain_rows(
    connection: Connection,
    query: psycopg.sql.SQL | psycopg.sql.Composed,
    values: Mapping[str, Any],
    kind: type[T],
) -> list[T]:
    """What a statement answers, as Structs; times are in UTC."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, values)
        found = await cursor.fetchall()
    return [kind(**{name: _plain(value) for name, value in row.items()}) for row in found]


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _values(kind: Kind, written: Write) -> dict[str, Any]:
    return {
        name: Jsonb(value, dumps=msgspec.json.encode)
        if name in kind.documents and not (value is None and name in kind.optional)
        else value
        for name, value in msgspec.structs.asdict(written).items()
    }


def _misfit(field: str, message: str) -> ValidationError:
    return ValidationError(
        f"{field}: {message}" if field else message, fields=[{"field": field, "message": message}]
    )


def _unknown(kind: Kind, record: UUID) -> NotFoundError:
    return NotFoundError(f"there is no {kind.name} {record} here", **{kind.name: str(record)})
