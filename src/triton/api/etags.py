"""Owns ETags: of records by their versions, of other answers by what they say. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from triton.api.wire import Json
from triton.errors import PreconditionRequiredError

_TAG: Final = re.compile(r'(W/)?"([^"]*)"')
#: Digits of a version at most.
_DIGITS: Final = 9


class Versioned(Protocol):
    """What is on the wire with a version that rises by one with every change."""

    @property
    def version(self) -> int: ...


def _etag(version: int) -> str:
    return f'"{version}"'


def expected(request: Request) -> list[int] | None:
    """The versions that a change may be made to; None is any (`*`).

    Raises PreconditionRequiredError without If-Match. A tag that no record can have matches none.
    """
    given = ", ".join(request.headers.getlist("if-match")).strip()
    if not given:
        raise PreconditionRequiredError(
            "a change needs the header If-Match with the ETag of what was read, or `*` for any version"
        )
    if given == "*":
        return None
    return [
        int(tag)
        for weak, tag in _TAG.findall(given)
        if not weak and tag.isascii() and tag.isdecimal() and len(tag) <= _DIGITS
    ]


def is_first(request: Request) -> bool:
    """Whether what a client sends is to be the first (`If-None-Match: *`)."""
    return ", ".join(request.headers.getlist("if-none-match")).strip() == "*"


def versioned(record: Versioned, status: int = 200, **headers: str) -> Response:
    """The record, with its ETag."""
    return Json(record, status, {**headers, "ETag": _etag(record.version)})


def shown(request: Request, record: Versioned) -> Response:
    """The same for who reads it; 304 where the client has this version already (If-None-Match)."""
    given = ", ".join(request.headers.getlist("if-none-match")).strip()
    if given == "*" or any(tag == str(record.version) for _, tag in _TAG.findall(given)):
        return Response(status_code=304, headers={"ETag": _etag(record.version)})
    return versioned(record)


def tagged(request: Request, answer: Response) -> Response:
    """The answer with an ETag of its bytes; 304 where the client says that it has these (If-None-Match).

    Bytes and not a job's version: what is shown can change without an event, such as when its data subject
    was erased.
    """
    tag = f'"{hashlib.blake2b(bytes(answer.body), digest_size=16).hexdigest()}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, X-API-Key",
    }
    given = ", ".join(request.headers.getlist("if-none-match")).strip()
    if given == "*" or any(f'"{one}"' == tag for _, one in _TAG.findall(given)):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer
