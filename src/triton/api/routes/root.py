"""Owns `/`: what this is, and where things are."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

import triton
from triton.api import openapi
from triton.api.access import public
from triton.api.wire import Json
from triton.job_view import PREFIX


class Service(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    links: dict[str, str]


router = APIRouter(tags=["service"], dependencies=[public])


@router.get("/", summary="The service", responses={200: openapi.answer(Service, "Name and links.")})
async def root() -> Response:
    links = {
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
        "ready": "/health/ready",
        "metrics": "/metrics",
        "jobs": f"{PREFIX}/jobs",
        "dead_letters": f"{PREFIX}/dead-letters",
        "documents": f"{PREFIX}/documents",
        "javascript": "/clients/triton.js",
        "live": "/live",
    }
    return Json(Service(name="triton", version=triton.__version__, links=links))
