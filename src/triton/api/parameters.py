"""Owns the parameters that several routes share, and the refusal of those that a route does not know."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

from fastapi import Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from triton.api.encoded_slash import with_slashes
from triton.errors import ValidationError
from triton.submit import MAX_NAME

#: PostgreSQL takes no U+0000, and no name holds one.
_PATTERN: Final = r"^[^\x00]+$"


def _id(description: str) -> Any:
    """A name in a path."""
    return Path(min_length=1, max_length=MAX_NAME, pattern=_PATTERN, description=description)


JobId: TypeAlias = Annotated[str, BeforeValidator(with_slashes), _id("The job's id.")]
QueueName: TypeAlias = Annotated[str, BeforeValidator(with_slashes), _id("The queue.")]
DocumentId: TypeAlias = Annotated[str, BeforeValidator(with_slashes), _id("The document's id.")]
TenantId: TypeAlias = Annotated[str, BeforeValidator(with_slashes), _id("The tenant's id.")]
UserId: TypeAlias = Annotated[str, BeforeValidator(with_slashes), _id("Its id or login.")]
_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)


def _written(value: object) -> object:
    """A time as people write it: pydantic would also take a number, as seconds since 1970."""
    if isinstance(value, str) and not _RFC3339.fullmatch(value):
        raise ValueError("expected a time like 2026-01-31T12:00:00Z")
    return value


#: A time to filter by, as RFC 3339 has it; None does not filter.
Since: TypeAlias = Annotated[
    datetime | None, BeforeValidator(_written), Query(description="Inclusive.")
]
Until: TypeAlias = Annotated[
    datetime | None, BeforeValidator(_written), Query(description="Exclusive.")
]
#: A name to filter by; None does not filter.
Name: TypeAlias = Annotated[str | None, Query(min_length=1, max_length=MAX_NAME, pattern=_PATTERN)]
#: A word to filter by, which may be empty; None does not filter.
Word: TypeAlias = Annotated[str | None, Query(max_length=MAX_NAME, pattern=r"^[^\x00]*$")]


def aware(field: str, when: datetime | None) -> datetime | None:
    """The time. Raises ValidationError for one without a time zone."""
    if when is not None and when.tzinfo is None:
        raise ValidationError(
            f"{field} has no time zone: write 2026-01-31T12:00:00Z",
            fields=[{"field": field, "message": "has no time zone"}],
        )
    return when


def query_names(route: APIRoute) -> list[str]:
    """The query parameters of a route, as its OpenAPI document names them. Not taken from there: to make the
    document takes half a second, in which the first request with a parameter held up all others."""
    return [
        found.alias
        for found in get_flat_params(route.dependant)
        if isinstance(found.field_info, params.Query) and found.field_info.include_in_schema
    ]


async def only_known(request: Request) -> None:
    """A dependency of every route. Raises ValidationError for query parameters that the route does not have:
    a filter with a slip in its name would answer with everything."""
    given = request.query_params
    if not given:
        return
    known = query_names(request.scope["route"])
    told = f"known are {', '.join(known)}" if known else "there are none here"
    fields = [
        {"field": name, "message": f"is not a known parameter; {told}"}
        for name in dict.fromkeys(given)
        if name not in known
    ]
    if fields:
        named = "; ".join(f"{field['field']}: {field['message']}" for field in fields)
        raise ValidationError(named, fields=fields)
