"""Owns `/clients`, the JavaScript client as it is in clients/js, and `/live`, a page that shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BeforeValidator
from starlette.responses import FileResponse, HTMLResponse, Response

from triton.api import openapi
from triton.api.access import public
from triton.api.encoded_slash import with_slashes
from triton.errors import NotFoundError

#: What is served, and how a browser must take it.
_TYPES: Final = {
    "triton.js": "text/javascript; charset=utf-8",
    "react.js": "text/javascript; charset=utf-8",
    "triton.d.ts": "text/plain; charset=utf-8",
    "react.d.ts": "text/plain; charset=utf-8",
}
router = APIRouter(tags=["service"], dependencies=[public])


def folder() -> Path:
    """Where the files are: in an installed wheel, or in the source checkout."""
    package = Path(__file__).parents[2]
    packaged = package / "clients"
    return packaged if packaged.is_dir() else package.parents[1] / "clients" / "js"


@router.get(
    "/clients/{name}",
    summary="A file of the JavaScript client",
    response_class=Response,
    responses={
        200: {"content": {"text/javascript": {"schema": {"type": "string"}}}},
        **openapi.problems(404),
    },
)
async def client_file(name: Annotated[str, BeforeValidator(with_slashes)]) -> Response:
    """An ES module; any page may import it."""
    if name not in _TYPES:
        raise NotFoundError(f"there is no /clients/{name[:100]}: expected one of {sorted(_TYPES)}")
    return FileResponse(
        folder() / name,
        media_type=_TYPES[name],
        headers={"Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"},
    )


@router.get(
    "/live",
    summary="All jobs live, as a page",
    response_class=HTMLResponse,
    responses=openapi.problems(),
)
async def live_page() -> Response:
    """Hand-written, without a build step: what the client can do, and how to use it."""
    return FileResponse(
        folder() / "live.html",
        media_type="text/html; charset=utf-8",
        headers={"Cache-Control": "no-cache"},
    )
