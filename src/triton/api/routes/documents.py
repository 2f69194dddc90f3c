"""Owns the routes of documents: a file streams into the archive, its row into PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
import uuid_utils
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from triton.api import openapi, pages, quotas
from triton.api.access import requires
from triton.api.parameters import DocumentId, Name, Word
from triton.api.services import Services, services_of
from triton.api.uploads import DEFAULT_NAME, FIELD, File, chunks
from triton.api.wire import Json
from triton.archive import Stored, TooLargeError
from triton.archive.store import CHUNK_BYTES, too_large
from triton.documents import listing
from triton.documents.listing import Place, Taken
from triton.documents.repository import Document
from triton.domain.connection import tenant_connection
from triton.events.envelope import to_datetime, to_microseconds
from triton.identity import organizations
from triton.identity.permissions import Permission
from triton.identity.principal import Principal
from triton.job_view import PREFIX

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


class DocumentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first. `next` goes into the next request; null on the last page."""

    documents: list[DocumentView]
    next: str | None


class LineagePage(msgspec.Struct, frozen=True, kw_only=True):
    """What extractions took from a document, by job, page and place. `next` goes into the next request; null
    on the last page."""

    lineage: list[Taken]
    next: str | None


#: Everything of documents that is on the wire as JSON.
WIRE: Final[list[type[msgspec.Struct]]] = [DocumentView, DocumentPage, LineagePage]

router = APIRouter(prefix=f"{PREFIX}/documents", tags=["documents"])


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
    longest = services.settings.max_document_bytes
    most = await quotas.room(services, whose, longest)
    try:
        document = await _store(request, services, file, most, whose, identity.by)
    except TooLargeError as error:
        if error.details["max_bytes"] < longest:
            services.gate.count(whose, "max_stored_bytes")
        raise
    view = _view(document)
    return Json(view, 201, {"Location": view.links["self"]})


@router.get(
    "",
    summary="List documents, newest first",
    responses={200: openapi.answer(DocumentPage, "A page."), **openapi.problems()},
)
async def list_documents(
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.DOCUMENTS_READ)],
    tenant: Name = None,
    filename: Word = None,
    sha256: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    """Of one tenant."""
    last = pages.read(next) if next is not None else None
    whose = identity.writes_as(tenant)
    async with tenant_connection(services.pool, whose) as connection:
        found = await listing.documents(
            connection,
            whose,
            filename=filename,
            sha256=sha256,
            last=(to_datetime(last.at), last.id) if last else None,
            limit=pages.asked(limit),
        )
    shown, following = pages.cut(
        found, limit, lambda one: pages.Keys(to_microseconds(one.uploaded_at), one.id)
    )
    return Json(DocumentPage(documents=[_view(one) for one in shown], next=following))


@router.get(
    "/{document_id}/lineage",
    summary="What extractions took from a document, and from where",
    responses={200: openapi.answer(LineagePage, "A page."), **openapi.problems(404)},
)
async def list_lineage(
    document_id: DocumentId,
    services: Annotated[Services, Depends(services_of)],
    identity: Annotated[Principal, requires(Permission.DOCUMENTS_READ)],
    tenant: Name = None,
    job: Name = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    next: Annotated[str | None, Query(description="From the page before.")] = None,  # noqa: A002
) -> Response:
    """Of each job's last attempt."""
    whose = identity.writes_as(tenant)
    last = _place(next) if next is not None else None
    async with tenant_connection(services.pool, whose) as connection:
        await listing.find(connection, whose, document_id)
        found = await listing.lineage(
            connection, whose, document_id, job=job, last=last, limit=pages.asked(limit)
        )
    shown, following = pages.cut(
        found, limit, lambda one: pages.Keys(one.page, f"{one.start}:{one.kind}:{one.job}")
    )
    return Json(LineagePage(lineage=list(shown), next=following))


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
    whose = identity.writes_as(tenant)
    async with tenant_connection(services.pool, whose) as connection:
        found = await listing.find(connection, whose, document_id)
    return Json(_view(found))


async def _store(
    request: Request, services: Services, file: File, limit: int, tenant: str, by: str
) -> Document:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + _ENVELOPE:
        raise too_large(limit)
    with await asyncio.to_thread(services.archive.upload, max_bytes=limit) as incoming:
        size, buffer = 0, bytearray()
        async for chunk in chunks(request, file, filename=file.filename):
            buffer += chunk
            size += len(chunk)
            if len(buffer) >= CHUNK_BYTES:
                await asyncio.to_thread(incoming.write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(incoming.write, bytes(buffer))
        await organizations.ensure(services.accounts, by, tenant)
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(quotas.storing(services, tenant, size))
            document = _document(await asyncio.to_thread(incoming.finish), file, tenant, by)
            if connection is None:
                # Only a quota is worth a connection that waits for the archive.
                connection = await stack.enter_async_context(
                    tenant_connection(services.pool, tenant)
                )
            await listing.add(connection, document)
    return document


def _document(stored: Stored, file: File, tenant: str, by: str) -> Document:
    return Document(
        id=str(uuid_utils.uuid7()),
        tenant=tenant,
        filename=file.filename,
        media_type=file.media_type,
        sha256=stored.sha256,
        size=stored.size,
        archive_key=stored.key,
        uploaded_at=datetime.now(UTC),
        uploaded_by=by,
    )


def _place(following: str) -> Place:
    keys = pages.read(following)
    start, _, rest = keys.id.partition(":")
    kind, _, job = rest.partition(":")
    if not (start.isascii() and start.isdecimal() and job) or "\0" in job + kind:
        raise pages.invalid(following)
    place = Place(job, keys.at, int(start), kind)
    if max(place.start, abs(place.page)) >= 2**31:
        raise pages.invalid(following)
    return place


def _view(document: Document) -> DocumentView:
    home = f"{PREFIX}/documents/{document.id}"
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
