"""Owns what others look for under /.well-known: keys that verify our tokens, whom to tell of a weakness."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import PlainTextResponse, Response

from triton.api import openapi
from triton.api.access import public
from triton.api.services import Services, services_of
from triton.api.wire import Json
from triton.errors import NotFoundError

#: Seconds for which others may keep the keys: shorter than it takes until a new key signs.
_KEEP: Final = 30
#: How long what security.txt says is to be believed (RFC 9116: less than a year).
_BELIEVED: Final = timedelta(days=180)


class KeySet(msgspec.Struct, frozen=True, kw_only=True):
    """The public keys (RFC 7517) under which access and stream tokens count. Empty with HS256, whose keys are
    secret."""

    keys: list[dict[str, Any]]


router = APIRouter(prefix="/.well-known", tags=["service"], dependencies=[public])


@router.get(
    "/jwks.json",
    summary="The keys that verify tokens",
    responses={200: openapi.answer(KeySet, "The keys.")},
)
async def jwks(services: Annotated[Services, Depends(services_of)]) -> Response:
    keys = await asyncio.to_thread(services.stream_keys.published)
    return Json(KeySet(keys=keys), headers={"Cache-Control": f"public, max-age={_KEEP}"})


@router.get(
    "/security.txt",
    summary="Whom to tell of a weakness",
    responses={
        200: {
            "description": "As RFC 9116 has it.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **openapi.problems(404),
    },
)
async def security_txt(services: Annotated[Services, Depends(services_of)]) -> Response:
    """There is none where `TRITON_SECURITY_CONTACT` is not set."""
    contacts = services.settings.security_contact.split()
    if not contacts:
        raise NotFoundError("nobody is named for this service: TRITON_SECURITY_CONTACT is not set")
    expires = (datetime.now(UTC) + _BELIEVED).strftime("%Y-%m-%dT00:00:00Z")
    lines = [f"Contact: {one}" for one in contacts]
    return PlainTextResponse("\n".join([*lines, f"Expires: {expires}", ""]))
