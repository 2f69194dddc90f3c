"""Owns the routes of documents: a file streams into the archive, its row into PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
import psycopg
import uuid_utils
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from triton.api import openapi, quotas, views
from triton.api.access import requires
from triton.api.parameters import DocumentId, Name
from triton.api.services import Services, services_of
from triton.api.uploads import DEFAULT_NAME, FIELD, File, chunks
from triton.api.wire import Json
from triton.archive import Stored
from triton.archive.store import CHUNK_BYTES, too_large
from triton.documents import repository
from triton.documents.repository import Document
from triton.identity.permissions import Permission
from triton.identity.principal import Principal

#: A form's own bytes around the file, at most: what Content-Length may exceed the limit by.
_ENVELOPE: Final = 64 * 1024

T = TypeVar("T")


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded document. `media_type` is as announced; what it is, the extraction says."""

    id: str
    sha256: str
    #: Bytes.
    size: int
    filename: str
    media_type: str
    tenant: str
    uploaded_at: str
    uploaded_by: str
    links: dict[str, str]


router = APIRouter(prefix=f"{views.PREFIX}/documents", tags=["documents"])


@router.post(
    "",
    status_code=201,
    summary="Upload a document",
    responses={
        201: openapi.answer(DocumentView, "Stored; `Location` is the document."),
        **openapi.problems(400, 413, 429),
    },
    openapi_extra={
        "requestBody": {
            # None at all is a document of no bytes.
            "required": False,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": [FIELD],
                        "properties": {FIELD: {"type": "string", "format": "binary"}},
                    }
                },
            },
        }
    },
)
async def upload(
    request: Request,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.DOCUMENTS_WRITE)],
    filename: Annotated[str, Query(description="Of a raw body; a form has its own.")] = "",
    tenant: Name = None,
) -> Response:
    """The body is the file, of any type, with `?filename=`; or a form with the file in the field `file`.
    Nothing is kept of an upload that breaks off or is too large."""
    file = File(filename=filename or DEFAULT_NAME)
    whose = identity.writes_as(tenant)
    most = await quotas.room(services, whose, services.settings.max_document_bytes)
    stored = await _store(request, services, file, most)
    document = Document(
        id=str(uuid_utils.uuid7()),
        tenant=whose,
        filename=file.filename,
        media_type=file.media_type,
        sha256=stored.sha256,
        size=stored.size,
        archive_key=stored.key,
        uploaded_at=datetime.now(UTC),
        uploaded_by=identity.by,
    )
    await _with_connection(services, lambda connection: repository.add(connection, document))
    view = _view(document)
    return Json(view, 201, {"Location": view.links["self"]})


@router.get(
    "/{document_id}",
    summary="Read a document's record",
    responses={200: openapi.answer(DocumentView, "The document."), **openapi.problems(404)},
)
async def read(
    document_id: DocumentId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.DOCUMENTS_READ)],
    tenant: Name = None,
) -> Response:
    found = await _with_connection(
        services,
        lambda connection: repository.get(
            connection, document_id, tenant=identity.writes_as(tenant)
        ),
    )
    return Json(_view(found))


async def _store(request: Request, services: Services, file: File, limit: int) -> Stored:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + _ENVELOPE:
        raise too_large(limit)
    with await asyncio.to_thread(services.archive.upload, max_bytes=limit) as incoming:
        buffer = bytearray()
        async for chunk in chunks(request, file, filename=file.filename):
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                await asyncio.to_thread(incoming.write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(incoming.write, bytes(buffer))
        return await asyncio.to_thread(incoming.finish)


async def _with_connection(services: Services, work: Callable[[psycopg.Connection[Any]], T]) -> T:
    """The repository speaks to plain connections; uploads are rare enough for one each, in a thread."""

    def run() -> T:
        with psycopg.connect(services.settings.database_url, connect_timeout=2) as connection:
            return work(connection)

    return await asyncio.to_thread(run)


def _view(document: Document) -> DocumentView:
    home = f"{views.PREFIX}/documents/{document.id}"
    return DocumentView(
        id=document.id,
        sha256=document.sha256,
        size=document.size,
        filename=document.filename,
        media_type=document.media_type,
        tenant=document.tenant,
        uploaded_at=document.uploaded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        uploaded_by=document.uploaded_by,
        links={"self": home},
    )
