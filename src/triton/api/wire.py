"""Owns msgspec on the wire: request bodies with their errors field by field, and JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from triton.api.problems import MalformedError
from triton.archive import TooLargeError
from triton.errors import ValidationError

#: Bytes of a JSON body at most: a message (512 KiB encoded) and some air.
MAX_JSON: Final = 1024 * 1024

_INSTEAD: Final = "put the data into the archive (POST /api/v1/documents) and pass a reference"

T = TypeVar("T", bound=msgspec.Struct)


class Json(Response):
    """An answer that msgspec encodes."""

    media_type = "application/json"

    def __init__(
        self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            msgspec.json.encode(value),
            status_code=status,
            headers={"Cache-Control": "no-store", **(headers or {})},
        )


async def read_json(request: Request, kind: type[T], *, optional: bool = False) -> T:
    """The request's body as `kind`; with `optional` no body is an empty object.

    Raises MalformedError (no JSON), ValidationError (each field that is wrong), TooLargeError.
    """
    body = await read_body(request, MAX_JSON, _INSTEAD)
    if optional and not body.strip():
        body = b"{}"
    return decode(body, kind)


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
    fields: list[dict[str, str]] = []
    if isinstance(plain, dict):
        known = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name, field in known.items():
            if name not in plain:
                if field.required:
                    fields.append({"field": name, "message": "is required"})
                continue
            try:
                msgspec.convert(plain[name], field.type)
            except msgspec.ValidationError as error:
                fields.append(_field(name, str(error)))
        fields += [
            {"field": name, "message": f"is not known; known are {', '.join(known)}"}
            for name in plain
            if name not in known
        ]
    fields = fields or [_field("", str(first))]
    named = "; ".join(f"{found['field'] or 'body'}: {found['message']}" for found in fields)
    return ValidationError(f"the request does not fit: {named}", fields=fields)


def _field(name: str, message: str) -> dict[str, str]:
    """msgspec's sentence, with its path (`... - at `$.a[0]``) as the field's name."""
    text, _, path = message.partition(" - at `")
    below = path.rstrip("`").removeprefix("$").lstrip(".")
    return {"field": ".".join(part for part in (name, below) if part), "message": text}
