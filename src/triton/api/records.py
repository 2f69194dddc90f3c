"""Owns what a request does to a record of the domain: in its tenant's transaction, and with its event.

The event is written last within the transaction: what is not in the log is not in the tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec
from fastapi import Request

from triton.api import pages
from triton.api.request_id import current_request
from triton.api.services import Services
from triton.api.wire import read_json
from triton.audit.noting import note
from triton.domain import store
from triton.domain.connection import tenant_connection
from triton.domain.kinds import Kind
from triton.domain.records import Entry, Write
from triton.domain.store import Act, Connection
from triton.errors import ValidationError
from triton.events.envelope import to_datetime, to_microseconds
from triton.events.types import RecordChanged
from triton.identity import organizations

#: Levels of objects and lists in a document.
MAX_DEPTH: Final = 100


class Asker(NamedTuple):
    """Who asks, in whose name, and why."""

    by: str
    tenant: str
    reason: str = ""


async def read_written(request: Request, kind: Kind) -> Write:
    """The body. Raises as `read_json`, and ValidationError for texts that PostgreSQL does not hold."""
    written = await read_json(request, kind.write)
    for name in kind.documents:
        check_document(name, getattr(written, name))
    return written


def check_document(name: str, value: Any) -> None:
    """Raises ValidationError for JSON that PostgreSQL does not hold, or that is nested too deep to be written
    again."""
    if message := _wrong_with(value):
        raise ValidationError(f"{name}: {message}", fields=[{"field": name, "message": message}])


async def create(services: Services, asker: Asker, kind: Kind, written: Write, new: UUID) -> Entry:
    async with acting(services, asker) as (connection, act):
        made = await store.create(connection, kind, written, act, new)
        await _note(services, asker, kind, made, "created")
    return made


async def replace(
    services: Services,
    asker: Asker,
    kind: Kind,
    record: UUID,
    written: Write,
    versions: list[int] | None,
) -> Entry:
    async with acting(services, asker) as (connection, act):
        made = await store.replace(connection, kind, record, written, act, versions)
        await _note(services, asker, kind, made, "updated")
    return made


async def remove(
    services: Services, asker: Asker, kind: Kind, record: UUID, versions: list[int] | None
) -> None:
    async with acting(services, asker) as (connection, act):
        gone = await store.remove(connection, kind, record, act, versions)
        await _note(services, asker, kind, gone, "removed")


async def listed(
    services: Services,
    tenant: str,
    kind: Kind,
    chosen: dict[str, Any],
    *,
    after: str | None,
    limit: int,
) -> dict[str, Any]:
    """A page as it goes out. Raises ValidationError for an `after` that is no `next`."""
    last = None
    if after is not None:
        keys = pages.read(after)
        try:
            last = to_datetime(keys.at), UUID(keys.id)
        except (ValueError, OverflowError) as error:
            raise pages.invalid(after) from error
    async with tenant_connection(services.pool, tenant) as connection:
        found = await store.page(
            connection, kind, chosen, tenant, last=last, limit=pages.asked(limit)
        )
    shown, following = pages.cut(
        found, limit, lambda one: pages.Keys(to_microseconds(one.created_at), str(one.id))
    )
    return {"items": shown, "next": following}


@asynccontextmanager
async def acting(services: Services, asker: Asker) -> AsyncIterator[tuple[Connection, Act]]:
    """The tenant's transaction, and what to say of a change in it."""
    await organizations.ensure(services.accounts, asker.by, asker.tenant)
    async with tenant_connection(services.pool, asker.tenant) as connection:
        yield connection, Act(asker.tenant, asker.by, datetime.now(UTC))


async def _note(
    services: Services,
    asker: Asker,
    kind: Kind,
    record: Entry,
    change: Literal["created", "updated", "removed"],
) -> None:
    await noted(
        services, asker, kind.name, str(record.id), change, record.version, digest_of(record)
    )


def digest_of(shown: msgspec.Struct) -> str:
    """Of what `GET` shows, for the event."""
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()


async def noted(
    services: Services,
    asker: Asker,
    kind: str,
    record: str,
    change: Literal["created", "updated", "removed"],
    version: int,
    digest: str = "",
) -> None:
    """Write the event of a change, within its transaction."""
    event = RecordChanged(
        kind=kind,
        record=record,
        change=change,
        version=version,
        sha256=digest,
        reason=asker.reason,
    )
    await note(
        services.redis,
        services.scripts,
        services.settings.namespace,
        event,
        op=f"record:{asker.tenant}:{record}:{change}:{version}:{digest}",
        by=asker.by,
        tenant=asker.tenant,
        correlation=current_request(),
    )


def _wrong_with(value: Any) -> str:
    """Why a document is not taken; empty where it is. Level by level: calls would run out."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            if isinstance(one, str) and "\0" in one:
                return "holds the character U+0000, which the database does not take"
            if isinstance(one, dict):
                below += (*one.keys(), *one.values())
            elif isinstance(one, list):
                below += one
        if not below:
            return ""
        level = below
    return f"is nested deeper than {MAX_DEPTH} levels"
