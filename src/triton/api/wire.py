"""Owns msgspec on the wire: request bodies with their errors field by field, and JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_args

import msgspec
from fastapi import Request
from starlette.responses import Response

from triton.api.problems import MalformedError
from triton.archive import TooLargeError
from triton.erasure.envelopes import masked_json
from triton.errors import MediaTypeError, ValidationError

#: Bytes of a JSON body at most: a message (512 KiB encoded) and some air.
MAX_JSON: Final = 1024 * 1024

_INSTEAD: Final = "put the data into the archive (POST /api/v1/documents) and pass a reference"

T = TypeVar("T", bound=msgspec.Struct)


class Json(Response):
    """An answer that msgspec encodes; `[personal]` stands for what is sealed."""

    media_type = "application/json"

    def __init__(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            masked_json(msgspec.json.encode(value)),
            status_code=status,
            headers={"Cache-Control": "no-store", **(headers or {})},
        )


async def read_json(request: Request, kind: type[T], *, optional: bool = False) -> T:
    """The request's body as `kind`; with `optional` no body is an empty object.

    Raises MalformedError (no JSON), ValidationError (each field that is wrong), TooLargeError,
    MediaTypeError.
    """
    expect_json(request)
    body = await read_body(request, MAX_JSON, _INSTEAD)
    if optional and not body.strip():
        body = b"{}"
    return decode(body, kind)


def expect_json(request: Request) -> None:
    """Raises MediaTypeError for a body that calls itself something else, or packed; one that says nothing of
    itself passes."""
    said = request.headers.get("content-type", "")
    kind = said.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise MediaTypeError(
            f"the body's Content-Type is {kind[:100]!r}, expected application/json (curl: --json)",
            expected="application/json",
        )
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise MediaTypeError(
            f"the body's Content-Encoding is {encoding[:100]!r}: send it as it is",
            expected="identity",
        )


def decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as `kind`. Raises MalformedError (no JSON), ValidationError (each field that is wrong)."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        first = error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed(error) from error
    try:
        plain = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # It does not fit before the place where it is broken.
        raise _malformed(error) from error
    raise _invalid(plain, kind, first) from first


def _malformed(error: Exception) -> MalformedError:
    return MalformedError(f"the body is not JSON: {error}")


async def read_body(request: Request, limit: int, instead: str) -> bytes:
    """The body. Raises TooLargeError for more than `limit` bytes, saying what to do `instead`; at once
    where the request announces so many."""
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not (announced.isdecimal() and int(announced) > limit):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise TooLargeError(f"the body has more than {limit} bytes: {instead}", max_bytes=limit)


def _invalid(plain: Any, kind: type[T], first: msgspec.ValidationError) -> ValidationError:
    """Every field that does not fit; msgspec itself stops at the first."""
    fields = _misfits(plain, kind, "") if isinstance(plain, dict) else []
    fields = fields or [_field("", str(first))]
    named = "; ".join(f"{found['field'] or 'body'}: {found['message']}" for found in fields)
    return ValidationError(f"the request does not fit: {named}", fields=fields)


def _misfits(plain: dict[str, Any], kind: type[msgspec.Struct], above: str) -> list[dict[str, str]]:
    """Every field of an object that does not fit, and of the objects in it; `above` is its own name."""
    fields: list[dict[str, str]] = []
    known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, field in known.items():
        name = above + key
        if key not in plain:
            if field.required:
                fields.append({"field": name, "message": "is required"})
            continue
        value = plain[key]
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            inner = _struct_in(field.type) if isinstance(value, dict) else None
            below = [] if inner is None else _misfits(value, inner, f"{name}.")
            fields += below or [_field(name, str(error))]
    told = f"is not known; known are {', '.join(known)}"
    return fields + [{"field": above + key, "message": told} for key in plain if key not in known]


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that an object is to be, where the type leaves no choice."""
    found = [one for one in (kind, *get_args(kind)) if isinstance(one, type)]
    structs = [one for one in found if issubclass(one, msgspec.Struct)]
    return structs[0] if len(structs) == 1 else None


def _field(name: str, message: str) -> dict[str, str]:
    """msgspec's sentence, with its path (`... - at `$.a[0]``) as the field's name."""
    text, _, path = message.partition(" - at `")
    below = path.rstrip("`").removeprefix("$").lstrip(".")
    dot = "." if name and below and not below.startswith("[") else ""
    return {"field": f"{name}{dot}{below}", "message": text}
