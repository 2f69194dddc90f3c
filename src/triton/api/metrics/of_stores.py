"""Owns what PostgreSQL says of projectors, failed jobs and the archive."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any, Final

import psycopg
from prometheus_client.core import Metric
from psycopg.rows import tuple_row

from triton.api.metrics.families import MOST, OTHERS, family
from triton.api.services import Services
from triton.domain.connection import platform_connection
from triton.events.log import Log
from triton.evidence import notes
from triton.evidence.layout import Tree
from triton.evidence.ledger import ARCHIVER
from triton.evidence.rows import Rows
from triton.projections.lag import PROJECTORS, Lag, age, lag

_TIMEOUT: Final = 3.0


@cache
def _sql(name: str) -> str:
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_text()


async def of_projectors(services: Services) -> list[Metric]:
    log = await _fresh_log(services)
    async with _connection(services) as connection:
        found = await lag(log, connection)
        cursor = await connection.execute(_sql("running"))
        running = {(name, number): runs for name, number, runs in await cursor.fetchall()}
    told: dict[str, Callable[[Lag], float]] = {
        "lag_events": lambda one: one.behind,
        "lag_seconds": lambda one: one.seconds,
        "position": lambda one: one.position,
        "parked": lambda one: one.parked,
        "forked": lambda one: bool(one.forked),
    }
    return [
        *(
            family(
                f"triton_projector_{name}",
                (((one.projector, str(one.partition)), value(one)) for one in found),
            )
            for name, value in told.items()
        ),
        family(
            "triton_projector_running",
            (
                ((name, str(number)), running.get((name, number), False))
                for name in PROJECTORS
                for number in range(log.partitions)
            ),
        ),
        family(
            "triton_archiver_running",
            (
                ((str(number),), running.get((ARCHIVER, number), False))
                for number in range(log.partitions)
            ),
        ),
    ]


async def of_failed_jobs(services: Services) -> list[Metric]:
    async with _connection(services) as connection:
        cursor = await connection.execute(_sql("failed_jobs"), {"most": MOST, "others": OTHERS})
        found = await cursor.fetchall()
    return [family("triton_failed_jobs", (((queue,), jobs) for queue, jobs in found))]


async def of_archive(services: Services) -> list[Metric]:
    log = await _fresh_log(services)
    figures: dict[str, list[tuple[tuple[str], float]]] = {
        name: []
        for name in (
            "sealed_position",
            "signed_position",
            "unsealed_seconds",
            "unsigned_seconds",
            "head_age_seconds",
            "segments",
            "bytes",
            "trimmed_position",
        )
    }
    async with _connection(services) as connection:
        for partition, epoch in enumerate(log.epochs):
            rows = Rows(connection, Tree(log.namespace, partition, epoch))
            for name, value in (await _of_tree(log, rows)).items():
                figures[name].append(((str(partition),), value))
    return [family(f"triton_archive_{name}", samples) for name, samples in figures.items()]


async def _of_tree(log: Log, rows: Rows) -> dict[str, float]:
    partition = rows.tree.partition
    segments, _, size, _, sealed, _, _ = await rows.summary()
    newest = await rows.newest_head()
    signed = notes.parse_head(notes.parse_note(newest[0]).text).size if newest else 0
    end = await log.position(partition)
    found = {
        "sealed_position": sealed,
        "signed_position": signed,
        "unsealed_seconds": await age(log, partition, sealed + 1) if sealed < end else 0.0,
        "unsigned_seconds": await age(log, partition, signed + 1) if signed < end else 0.0,
        "segments": segments,
        "bytes": size,
        "trimmed_position": (await log.first_position(partition) or end + 1) - 1,
    }
    if newest:
        found["head_age_seconds"] = max(0.0, time.time() - newest[1] / 1e6)
    return found


async def _fresh_log(services: Services) -> Log:
    """The hub's own may be older than an adoption: it opens the log anew when somebody listens."""
    open_log = services.hub.log(0)
    log = Log(open_log.client, open_log.namespace, open_log.epochs)
    await log.refresh()
    return log


@asynccontextmanager
async def _connection(services: Services) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """One that answers tuples."""
    async with platform_connection(services.pool, wait=_TIMEOUT) as connection:
        rows = connection.row_factory
        connection.row_factory = tuple_row
        try:
            yield connection
        finally:
            connection.row_factory = rows
