"""Owns a request's way to documents: one, pages of them, and of what extractions took from one.

Connections come from `triton.domain.connection.tenant_connection`: they are in the tenant's transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

import msgspec
import psycopg
from psycopg.rows import class_row

from triton.documents.repository import Document, unknown

T = TypeVar("T")


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Characters `start` to `end` (exclusive) of the text of a page, as a job's last attempt took them.
    `document_sha256` is of the bytes that were read."""

    job: str
    attempt: int
    page: int
    start: int
    end: int
    #: page | heading | table
    kind: str
    extractor: str
    version: str
    document_sha256: str
    at: datetime


class Place(NamedTuple):
    """Where a page of lineage ended."""

    job: str
    page: int
    start: int
    kind: str


async def add(connection: psycopg.AsyncConnection[Any], document: Document) -> None:
    """Adds the row of a document whose id is new."""
    await connection.execute(_sql("add"), msgspec.structs.asdict(document))


async def find(connection: psycopg.AsyncConnection[Any], tenant: str, document: str) -> Document:
    """Raises NotFoundError where the tenant has none of this id."""
    found = await _rows(connection, "get", {"id": document, "tenant": tenant}, Document)
    if not found:
        raise unknown(document, tenant)
    return found[0]


async def documents(
    connection: psycopg.AsyncConnection[Any],
    tenant: str,
    *,
    filename: str | None,
    sha256: str | None,
    last: tuple[datetime, str] | None,
    limit: int,
) -> list[Document]:
    """The newest, after the last of the page before."""
    at, document = last or (None, None)
    values = {
        "tenant": tenant,
        "filename": filename,
        "sha256": sha256,
        "last_at": at,
        "last_id": document,
        "limit": limit,
    }
    return await _rows(connection, "page", values, Document)


async def lineage(
    connection: psycopg.AsyncConnection[Any],
    tenant: str,
    document: str,
    *,
    job: str | None,
    last: Place | None,
    limit: int,
) -> list[Taken]:
    """By job, page and place, after the last of the page before."""
    after = last or (None, None, None, None)
    values = {
        "tenant": tenant,
        "document": document,
        "job": job,
        **dict(zip(("last_job", "last_page", "last_start", "last_kind"), after, strict=True)),
        "limit": limit,
    }
    found = await _rows(connection, "lineage_page", values, Taken)
    return [msgspec.structs.replace(one, at=one.at.astimezone(UTC)) for one in found]


async def _rows(
    connection: psycopg.AsyncConnection[Any], statement: str, values: dict[str, Any], kind: type[T]
) -> list[T]:
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(_sql(statement), values)
        return await cursor.fetchall()


@cache
def _sql(name: str) -> bytes:
    return files(__package__).joinpath(f"{name}.sql").read_bytes()
