"""Owns the OpenAPI document's schemas: made from the msgspec Structs that are on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from triton.api.problems import JSON, PROBLEM_JSON, REQUEST_ID, STATUS, Problem, ProblemDetails

_TEMPLATE: Final = "#/components/schemas/{name}"
_REASONS: Final = {
    400: "The body is not what its type says.",
    401: "Nobody knows who asks: no key or token, or none that counts.",
    403: "Who asks may not.",
    404: "There is no such thing.",
    408: "The request did not arrive in time.",
    409: "The request does not fit the present state.",
    410: "What follows the cursor cannot be told any more: begin again.",
    412: "It was changed since the client read it: If-Match names another version.",
    413: "The body is too large.",
    415: "The body calls itself something else than what is taken.",
    422: "A field or parameter does not fit; `details.fields` names each.",
    428: "The header If-Match is missing.",
    429: "Too much is asked for: a rate, open streams, or a tenant's quota; see `Retry-After`.",
    431: "The request line and headers are too large.",
    500: "A bug of ours; the log has the rest under the request id.",
    503: "An engine does not answer; try again.",
}
#: The content of an answer that is a stream: each of its events.
EVENT_STREAM: Final[dict[str, Any]] = {
    "text/event-stream": {
        "itemSchema": {
            "type": "object",
            "properties": {
                "event": {"type": "string"},
                "id": {"type": "string"},
                "data": {"type": "string"},
                "retry": {"type": "integer", "minimum": 0},
            },
        }
    }
}
ETAG: Final = {"ETag": {"schema": {"type": "string"}}}
#: Of an answer with an ETag.
UNCHANGED: Final = {"description": "It is as If-None-Match knows it.", "headers": ETAG}
IF_NONE_MATCH: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of what the client has: 304 where it is still so.",
            "schema": {"type": "string"},
        }
    ]
}
#: The parameter of a change to what was read before.
IF_MATCH: Final[dict[str, Any]] = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The ETag of what was read; `*` is any version.",
    "schema": {"type": "string"},
}
#: What any route may answer, what any below /api/v1, and what any that reads a body.
COMMON: Final = frozenset({408, 429, 431, 500, 503})
_OF_API: Final = frozenset({401, 403, 422})
_OF_BODIES: Final = frozenset({400, 413, 415})
_HEADERS: Final = {
    REQUEST_ID: {
        "description": "The request's id, as it was given or made.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "schema": {"type": "integer", "minimum": 0},
    },
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


def problem(status: int) -> dict[str, Any]:
    """An error as one entry of `responses`, in both of its forms."""
    names = [REQUEST_ID, *(["Retry-After"] if status in (429, 503) else [])]
    return {
        "description": _REASONS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {
            JSON: {"schema": reference(Problem)},
            PROBLEM_JSON: {"schema": reference(ProblemDetails)},
        },
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route; 422 and 503 are every route's."""
    return {status: problem(status) for status in sorted({*statuses, 422, 503})}


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
                [Problem, ProblemDetails, *kinds], ref_template=_TEMPLATE
            )
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components)
            parts["headers"] = _HEADERS
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    _complete(path, operation)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not given is not there; one that says `null` is a text."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _complete(path: str, operation: dict[str, Any]) -> None:
    """Add the answers that come from around the route, and take out what no parameter can be."""
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    statuses = set(COMMON)
    if path.startswith("/api/"):
        statuses |= _OF_API
    if "requestBody" in operation:
        statuses |= _OF_BODIES
    responses = operation["responses"]
    for status in sorted(statuses):
        responses.setdefault(str(status), problem(status))
    for answer in responses.values():
        answer.setdefault("headers", {})[REQUEST_ID] = {
            "$ref": f"#/components/headers/{REQUEST_ID}"
        }
