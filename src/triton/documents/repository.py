"""Owns the SQL of documents and lineage. Connections come from the caller, statements from .sql files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import psycopg
from psycopg.rows import class_row

from triton.domain.connection import enter
from triton.errors import ConflictError, NotFoundError
from triton.extraction.model import Lineage


class Document(msgspec.Struct, frozen=True):
    """One uploaded document. `media_type` is as announced, `sha256` in hex, `size` in bytes."""

    id: str
    tenant: str
    filename: str
    media_type: str
    sha256: str
    size: int
    archive_key: str
    uploaded_at: datetime
    uploaded_by: str


def add(connection: psycopg.Connection[Any], document: Document) -> None:
    """Adds the document's row; the same row again is success. Raises ConflictError for another one."""
    with connection.transaction():
        enter(connection, document.tenant)
        added = connection.execute(_sql("add"), msgspec.structs.asdict(document)).rowcount
        if not added and _find(connection, document.id, document.tenant) != document:
            raise ConflictError(
                f"Document {document.id} exists with other values; upload under a new id.",
                document=document.id,
            )


def get(connection: psycopg.Connection[Any], document_id: str, *, tenant: str) -> Document:
    """The document, when it is the tenant's. Raises NotFoundError."""
    # PostgreSQL holds no text with a NUL, so there cannot be such a document.
    found = None
    if "\0" not in document_id:
        with connection.transaction():
            enter(connection, tenant)
            found = _find(connection, document_id, tenant)
    if found is None:
        raise unknown(document_id, tenant)
    return found


def unknown(document_id: str, tenant: str) -> NotFoundError:
    return NotFoundError(
        f"There is no document {document_id!r} for tenant {tenant!r}; upload it first.",
        document=document_id,
    )


def add_lineage(
    connection: psycopg.Connection[Any],
    rows: Iterable[Lineage],
    *,
    tenant: str,
    document: str,
    document_sha256: str,
    job: str,
    attempt: int,
    at: datetime,
) -> bool:
    """Replaces the job's lineage of the document by these rows, in one transaction.

    False when a later attempt of the job wrote already: then nothing changes.
    """
    key = {"document": document, "job": job, "attempt": attempt}
    with connection.transaction(), connection.cursor() as cursor:
        enter(connection, tenant)
        cursor.execute(_sql("lock_lineage"), key)
        newer = cursor.execute(_sql("newer_lineage"), key).fetchone()
        if newer and newer[0]:
            return False
        cursor.execute(_sql("remove_lineage"), key)
        # No COPY: row-level security does not allow it.
        cursor.executemany(
            _sql("add_lineage"),
            [
                {
                    **key,
                    **msgspec.structs.asdict(row),
                    "tenant": tenant,
                    "document_sha256": document_sha256,
                    "at": at,
                }
                for row in rows
            ],
        )
    return True


def _find(connection: psycopg.Connection[Any], document_id: str, tenant: str) -> Document | None:
    with connection.cursor(row_factory=class_row(Document)) as cursor:
        return cursor.execute(_sql("get"), {"id": document_id, "tenant": tenant}).fetchone()


@cache
def _sql(name: str) -> bytes:
    return files(__package__).joinpath(f"{name}.sql").read_bytes()
