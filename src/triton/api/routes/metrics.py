"""Owns `/metrics`, for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from triton.api import openapi
from triton.api.access import requires
from triton.api.http_metrics import HttpMetrics
from triton.api.metrics.scraping import scrape
from triton.api.services import Services, services_of
from triton.identity.permissions import Permission

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    dependencies=[requires(Permission.METRICS_READ)],
    responses={
        200: {
            "description": "In Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **openapi.problems(401, 403),
    },
)
async def metrics(
    request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    """What this process counts of its requests and streams, and what Redis and PostgreSQL say of the
    platform: every API process says the same of that."""
    own = request.app.state.http_metrics
    assert isinstance(own, HttpMetrics)
    return Response(
        await scrape(services, own.collect()),
        media_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )
