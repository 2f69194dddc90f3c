"""Owns letting segments expire in tests: what is kept how long, what time it is, and what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from archiving import archive_once, signer_of
from log_writer import LogWriter
from projecting import opened, project, run

from triton.archive import open_archive
from triton.audit import counting, verifying
from triton.audit.rules import DAY
from triton.events.scripts import Scripts
from triton.events.types import Completed
from triton.evidence import layout
from triton.expiry.expiring import Done, Expirer
from triton.history import History
from triton.projections.engines import open_engines
from triton.settings import Settings
from triton.verifier.triton_verify import Report, parse_key


def keep_for(postgres: psycopg.Connection, days: int, *, tenant: str = "", queue: str = "") -> None:
    postgres.execute(
        "INSERT INTO retention (tenant, queue, days, reason, set_by) VALUES (%s, %s, %s, 'law', 'user:a')",
        (tenant, queue, days),
    )


def jobs(writer: LogWriter, count: int) -> list[str]:
    """So many jobs that ended, one after the other: three events each."""
    made = []
    for _ in range(count):
        made.append(writer.submit())
        for job in writer.claim(1):
            writer.finish(job, Completed())
    return made


def settle(settings: Settings) -> None:
    """Everything is archived, projected and trimmed, as far as it may be."""
    for _ in range(2):
        run(archive_once(settings))
        project(settings)
    run(archive_once(settings))


def later(writer: LogWriter, days: int) -> int:
    seconds, rest = writer.client.time()
    return int(seconds * 1_000_000 + rest + days * DAY)


async def with_expirer(settings: Settings, ask: Callable[[Expirer], Any]) -> Any:
    async with opened(settings) as (log, connection):
        assert isinstance(log, History)
        return await ask(
            Expirer(log, connection, open_archive(settings.archive_url), Scripts(), by="user:op")
        )


def plan(settings: Settings, now: int) -> list[tuple[int, int, str]]:
    found = run(with_expirer(settings, lambda expirer: expirer.plan(0, now=now)))
    return [(one.first, one.last, one.kept_by) for one in found]


def step(settings: Settings, now: int) -> list[Done]:
    done: list[Done] = run(with_expirer(settings, lambda expirer: expirer.step(0, now=now)))
    return done


def expire(settings: Settings, now: int) -> list[Done]:
    """Declared, sealed, removed."""
    step(settings, now)
    run(archive_once(settings))
    done = step(settings, now)
    project(settings)
    run(archive_once(settings))
    return done


def files(settings: Settings, writer: LogWriter) -> dict[tuple[int, int], set[str]]:
    """Bounds of each segment, and what is there of it."""
    tree = layout.Tree(settings.namespace, 0, writer.epoch)
    found: dict[tuple[int, int], set[str]] = {}
    for key in open_archive(settings.archive_url).list(layout.segments(tree)):
        stem, _, kind = key.rpartition(".")
        bounds = layout.range_of(f"{stem}.zst")
        assert bounds is not None
        found.setdefault(bounds, set()).add(kind)
    return found


async def verified(settings: Settings) -> tuple[Report, list[counting.Count]]:
    archive = open_archive(settings.archive_url)
    pinned = [parse_key(str(signer_of(settings).key))]
    async with open_engines(settings) as (log, connection, clickhouse):
        rows = await counting.segment_rows(connection)
        report = verifying.verify_archive(archive, settings.namespace, pinned, live=True)
        await verifying.verify_log(report, archive, log)
        counting.compare_rows(report, settings.namespace, rows)
        return report, await counting.count_stores(report, connection, clickhouse, log)


def alone(settings: Settings) -> Report:
    """A copy of the archive, without anything else."""
    pinned = [parse_key(str(signer_of(settings).key))]
    return verifying.verify_archive(open_archive(settings.archive_url), settings.namespace, pinned)
