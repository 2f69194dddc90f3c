"""Owns the OpenAPI document's schemas: made from the msgspec Structs that are on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from triton.api.problems import STATUS, Problem

_TEMPLATE: Final = "#/components/schemas/{name}"
_REASONS: Final = {
    400: "The body is not what its type says.",
    401: "Nobody knows who asks: no key or token, or none that counts.",
    403: "Who asks may not.",
    404: "There is no such thing.",
    409: "The request does not fit the present state.",
    410: "What follows the cursor cannot be told any more: begin again.",
    412: "It was changed since the client read it: If-Match names another version.",
    413: "The body is too large.",
    422: "A field or parameter does not fit; `details.fields` names each.",
    428: "The header If-Match is missing.",
    429: "Too much is asked for: a rate, open streams, or a tenant's quota; see `Retry-After`.",
    503: "An engine does not answer; try again.",
}


def reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=kind.__name__)}


def body(
    kind: type[msgspec.Struct], example: Mapping[str, Any], *, required: bool = True
) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a JSON body."""
    content = {"application/json": {"schema": reference(kind), "example": dict(example)}}
    return {"requestBody": {"required": required, "content": content}}


def answer(kind: type[msgspec.Struct], description: str) -> dict[str, Any]:
    """One entry of a route's `responses`."""
    return {
        "description": description,
        "content": {"application/json": {"schema": reference(kind)}},
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route; 401, 403, 422 and 503 are every route's."""
    every = {401, 403, 422, 503}
    return {status: answer(Problem, _REASONS[status]) for status in sorted({*statuses, *every})}


def install(app: FastAPI, kinds: list[type[msgspec.Struct]]) -> None:
    """Give the document the schemas of these Structs and all they hold."""
    assert set(_REASONS) <= set(STATUS.values()), "every status that is documented has a code"

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _, components = msgspec.json.schema_components(
                [Problem, *kinds], ref_template=_TEMPLATE
            )
            schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
