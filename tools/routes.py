"""Makes the reference page of the HTTP routes from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triton.api.app import create_app
from triton.api.openapi import COMMON, problem
from triton.api.problems import PROBLEM_JSON
from triton.settings import Settings

_HEAD = (
    "# HTTP routes\n\nMade from the OpenAPI document by `tools/reference.py`. What all routes have in "
    "common is in [http.md](http.md), what each error means in [errors.md](errors.md), the stream in "
    "[sse.md](sse.md). Any route can answer `408`, `429`, `500` and `503`; any below `/api` `401` and `403`. "
    "Bodies and answers are JSON where nothing else is said; names in them lead to the objects below."
)


_UNSAID = {problem(status)["description"] for status in (*COMMON, 401, 403)}


def routes_page() -> str:
    document = create_app(Settings()).openapi()
    schemas: dict[str, Any] = document["components"]["schemas"]
    parts = [_HEAD]
    used: list[str] = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method, path, operation)
            used += _names(operation)
    wanted: list[str] = []
    while used:
        name = used.pop(0)
        if name not in wanted:
            wanted.append(name)
            used += _names(schemas[name])
    parts.append("## Objects")
    for name in sorted(wanted):
        parts += _object(name, schemas[name])
    return "\n\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`"
    yield f"{operation['summary']}."
    if about := operation.get("description"):
        yield " ".join(about.split())
    rows = [
        f"| `{one['name']}` | {one['in']}{'' if one.get('required') else ', optional'} "
        f"| {_type(one['schema'])} | {_text(one.get('description', ''))} |"
        for one in operation.get("parameters", ())
    ]
    if rows:
        yield "\n".join(["| parameter | in | type | |", "|---|---|---|---|", *rows])
    if body := operation.get("requestBody"):
        optional = "" if body.get("required") else " (optional)"
        yield f"Body{optional}: {_content(body['content'])}."
    answers = [
        f"| {status} | {_content(answer.get('content', {}))} | {_text(answer['description'])} |"
        for status, answer in sorted(operation["responses"].items())
        if answer["description"] not in _UNSAID
    ]
    yield "\n".join(["| answer | body | |", "|---|---|---|", *answers])


def _object(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    if about := schema.get("description"):
        yield " ".join(about.split())
    required = schema.get("required", ())
    rows = [
        f"| `{field}` | {_type(kind)} | {_default(kind, field in required)} |"
        for field, kind in schema.get("properties", {}).items()
    ]
    if rows:
        yield "\n".join(["| field | type | default |", "|---|---|---|", *rows])


def _default(schema: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    return f"`{schema['default']!r}`" if "default" in schema else ""


def _content(content: dict[str, Any]) -> str:
    """`application/json` goes without saying, and so does the other form of errors."""
    said = [
        _type(one.get("schema", {})) if kind == "application/json" else f"`{kind}`"
        for kind, one in content.items()
        if kind != PROBLEM_JSON
    ]
    return " or ".join(said) or "none"


def _type(schema: dict[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return " or ".join(_type(one) for one in choices)
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    words = {"exclusiveMinimum": "above", "minimum": "from", "maximum": "to"}
    words |= {"minLength": "length from", "maxLength": "length to"}
    limits = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    shown = str(schema.get("format", kind))
    return " ".join([shown, *limits])


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _names(value: Any) -> Iterator[str]:
    """The schemas that anything below names."""
    if isinstance(value, dict):
        if str(value.get("$ref", "")).startswith("#/components/schemas/"):
            yield value["$ref"].rpartition("/")[2]
        for below in value.values():
            yield from _names(below)
    elif isinstance(value, list):
        for below in value:
            yield from _names(below)
