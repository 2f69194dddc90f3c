"""Owns the routes that say whether the process lives, and whether what it depends on does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg
import redis.exceptions
from fastapi import APIRouter, Depends
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError, ResponseError
from starlette.responses import Response

import triton
from triton.api import openapi
from triton.api.access import public
from triton.api.services import Services, services_of
from triton.api.statements import sql
from triton.api.wire import Json
from triton.domain.connection import platform_connection
from triton.errors import LogError, UnavailableError
from triton.events.log import Checkpoint, Log
from triton.observe.logger import get_logger
from triton.projections.lag import age

#: Seconds that one dependency may take to answer.
_TIMEOUT: Final = 2.0
_LATE: Final = (TimeoutError, redis.exceptions.TimeoutError, httpx.TimeoutException, PoolTimeout)
_AWAY: Final = (
    redis.exceptions.ConnectionError,
    psycopg.OperationalError,
    httpx.TransportError,
    UnavailableError,
    OSError,
)

_log: Final = get_logger("triton.api")


class Health(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    version: str


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` says in a few words why it is not ok, and nothing that only who runs it should know: the
    process's log has the rest. `details` is its own."""

    ok: bool
    latency_ms: float
    reason: str = ""
    details: dict[str, Any] = {}


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projector is: `lag` is in positions of its partition's log, `lag_seconds` the age of the
    oldest event that it has not applied, 0 for none and null where Redis does not say. `forked` says why it
    stands still where the log is no longer the one that it read; empty where it is."""

    projector: str
    partition: int
    position: int
    lag: int
    lag_seconds: float | None
    updated_at: str
    forked: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`ready` is false while a dependency is down, the feed stands still, or the process drains."""

    ready: bool
    draining: bool
    dependencies: dict[str, Dependency]
    projectors: list[Lag]
    streams: int


router = APIRouter(tags=["health"], dependencies=[public])


@router.get(
    "/health", summary="Liveness", responses={200: openapi.answer(Health, "The process answers.")}
)
async def health() -> Response:
    """Asks no dependency."""
    return Json(Health(status="ok", version=triton.__version__))


_READY: Final[dict[int | str, dict[str, Any]]] = {
    200: openapi.answer(Readiness, "Everything answers."),
    503: openapi.answer(Readiness, "Something does not; see `dependencies`."),
}


@router.get("/ready", summary="Readiness", responses=_READY)
@router.get("/health/ready", summary="Readiness", responses=_READY)
async def ready(services: Annotated[Services, Depends(services_of)]) -> Response:
    """Each dependency with its latency and the reason where it is down; each projector with its lag. A lag or
    a fork alone does not make the service unready."""
    positions: dict[int, int] = {}
    checkpoints: list[DictRow] = []

    async def redis() -> dict[str, Any]:
        # Refused where the server's disk is full: it still reads then, and takes no event.
        await services.redis.ping()
        for partition in range(services.settings.partitions):
            log = services.hub.log(partition)
            positions[partition] = await log.position(partition)
        return {"positions": list(positions.values())}

    async def postgres() -> dict[str, Any]:
        async with platform_connection(services.pool, wait=_TIMEOUT) as connection:
            cursor = await connection.execute(sql("checkpoints"))
            checkpoints.extend(await cursor.fetchall())
        return {}

    async def clickhouse() -> dict[str, Any]:
        (await services.http.get(_ping(services.settings.clickhouse_url))).raise_for_status()
        return {}

    async def archive() -> dict[str, Any]:
        await asyncio.to_thread(services.archive.exists, "readiness")
        return {}

    async def feed() -> dict[str, Any]:
        if services.hub.trouble:
            raise _StillError(services.hub.trouble)
        return {}

    checks = (redis, postgres, clickhouse, archive, feed)
    found = await asyncio.gather(*(_check(check, services.said) for check in checks))
    dependencies = {check.__name__: state for check, state in zip(checks, found, strict=True)}
    standings = await _standings(services, checkpoints) if found[0].ok else []
    standings = standings or [("", None)] * len(checkpoints)
    draining = services.hub.draining
    is_ready = all(state.ok for state in found) and not draining
    report = Readiness(
        ready=is_ready,
        draining=draining,
        dependencies=dependencies,
        projectors=[
            _lag(row, positions, fork, seconds)
            for row, (fork, seconds) in zip(checkpoints, standings, strict=True)
        ],
        streams=services.hub.open_streams,
    )
    return Json(report, 200 if is_ready else 503)


class _StillError(Exception):
    """The feed stands still."""


async def _check(
    check: Callable[[], Awaitable[dict[str, Any]]], said: dict[str, str]
) -> Dependency:
    """`said`: what the log last had of each dependency."""
    begun = time.perf_counter()
    details: dict[str, Any] = {}
    reason = text = ""
    try:
        async with asyncio.timeout(_TIMEOUT):
            details = await check()
    except Exception as error:
        # Whatever a driver raises, the answer is that its engine is down.
        reason = _reason(error)
        text = f"{type(error).__name__}: {error}"
    if text and said.get(check.__name__) != text:
        _log.warning("dependency_not_ready", dependency=check.__name__, reason=reason, error=text)
    said[check.__name__] = text
    latency = round((time.perf_counter() - begun) * 1000, 2)
    return Dependency(ok=not reason, latency_ms=latency, reason=reason, details=details)


def _reason(error: Exception) -> str:
    """For everybody: what drivers say names hosts, users and databases."""
    match error:
        case _StillError():
            return "it stands still"
        case LogError():
            return error.message
        case httpx.HTTPStatusError():
            return f"it answers {error.response.status_code}"
        case ResponseError() if "MISCONF" in str(error):
            return "it cannot write its files"
    if isinstance(error, _LATE):
        return f"no answer within {_TIMEOUT:g} s"
    return "unreachable" if isinstance(error, _AWAY) else "it answers with an error"


async def _standings(
    services: Services, checkpoints: Sequence[DictRow]
) -> list[tuple[str, float | None]]:
    """For each checkpoint why the log is not the one that was read (empty where it is), and the age of the
    first event after it; nothing where Redis does not answer in time."""
    open_log = services.hub.log(0)
    # The hub's own may be older than an adoption: it opens the log anew when somebody listens.
    log = Log(open_log.client, open_log.namespace, open_log.epochs)
    try:
        async with asyncio.timeout(_TIMEOUT):
            await log.refresh()
            return [
                (
                    await log.forked(
                        row["partition"],
                        Checkpoint(row["epoch"], row["position"], row["digest"]),
                    ),
                    await age(log, row["partition"], row["position"] + 1),
                )
                for row in checkpoints
            ]
    except (TimeoutError, RedisError, LogError):
        return []


def _lag(row: DictRow, positions: dict[int, int], fork: str, seconds: float | None) -> Lag:
    behind = positions.get(row["partition"], row["position"]) - row["position"]
    return Lag(
        projector=row["projector"],
        partition=row["partition"],
        position=row["position"],
        lag=max(0, behind),
        lag_seconds=None if seconds is None else round(seconds, 3),
        updated_at=row["updated_at"].isoformat(),
        forked=fork,
    )


def _ping(url: str) -> str:
    """ClickHouse's ping needs neither user nor database."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in ("https", "clickhouses") else "http"
    port = f":{parts.port}" if parts.port else ""
    return f"{scheme}://{parts.hostname}{port}/ping"
