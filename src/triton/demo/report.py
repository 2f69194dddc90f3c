"""Owns what the demo shows when its jobs have ended: both stores, one history, and where to look next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import dict_row

from triton.cli import output
from triton.cli.jobs import EVENT_COLUMNS, event_rows, history
from triton.cli.live import Event
from triton.cli.target import Reach
from triton.client import Client
from triton.demo.work import Run
from triton.settings import Settings

QUEUE: Final = "documents"
#: Seconds that the projectors have to come to the end of the log.
_PATIENCE: Final = 20.0
_POLL: Final = 0.1
#: Jobs that the table shows at most; those that failed come first.
_JOBS: Final = 30
#: Events of the history that are shown from its beginning and its end.
_HEAD, _TAIL = 8, 4
_MICROSOFT: Final = "vnd.openxmlformats-officedocument.wordprocessingml.document"
#: What the documents themselves are the reason of: no failure of the platform.
_CLEAR: Final = ("ExtractionError", "NotFoundError", "")


def await_projectors(
    settings: Settings, positions: Mapping[int, int], tend: Callable[[], object]
) -> bool:
    """Waits until every projector has reached these positions, by partition; False when they are late."""
    deadline = time.monotonic() + _PATIENCE
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while True:
            tend()
            rows = connection.execute("SELECT projector, partition, position FROM checkpoints")
            reached = {(name, partition): position for name, partition, position in rows}
            if all(
                reached.get((projector, partition), 0) >= position
                for projector in ("postgres", "clickhouse")
                for partition, position in positions.items()
            ):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)


def jobs(settings: Settings, runs: Sequence[Run]) -> bool:
    """The jobs as PostgreSQL has them; whether all that failed did so for a reason in their document."""
    names = {run.job.id: run.name for run in runs if run.job is not None}
    with psycopg.connect(settings.database_url, row_factory=dict_row) as connection:
        rows = connection.execute(_sql("jobs").encode(), {"jobs": list(names)}).fetchall()
    columns = (
        "document",
        "state",
        "type",
        "pages>",
        "words>",
        "headings>",
        "tables>",
        "took>",
        "why",
    )
    shown = sorted(rows, key=_is_whole)[:_JOBS] if len(rows) > _JOBS else rows
    output.table(
        "Jobs, from PostgreSQL", columns, [_job_row(names[row["job"]], row) for row in shown]
    )
    if len(shown) < len(rows):
        output.line(f"... and {len(rows) - len(shown)} more, which `triton jobs` lists")
    return all((row["error_type"] or "") in _CLEAR for row in rows if row["state"] == "failed")


def _is_whole(row: Mapping[str, Any]) -> bool:
    return bool(row["state"] == "completed")


def _job_row(name: str, row: Mapping[str, Any]) -> tuple[object, ...]:
    kind = (row["media_type"] or "").rpartition("/")[2].replace(_MICROSOFT, "docx")
    took = "" if row["seconds"] is None else f"{row['seconds']:.2f} s"
    numbers = (row["pages"], row["words"], row["headings"], row["tables"])
    return (name, row["state"], kind, *numbers, took, row["error"] or row["reason"])


def analytics(settings: Settings, since: datetime) -> None:
    """Throughput and latency of the documents' queue, as ClickHouse has them."""
    import clickhouse_connect

    parameters = {"queue": QUEUE, "since": since}
    with clickhouse_connect.get_client(dsn=settings.clickhouse_url) as client:
        throughput = client.query(_sql("throughput"), parameters=parameters).result_rows
        latency = client.query(_sql("latency"), parameters=parameters).result_rows
    output.table(
        "Throughput per minute, from ClickHouse",
        ("minute", "queue", "submitted>", "started>", "completed>", "failed>", "events>"),
        [(f"{minute:%H:%M}", *rest) for minute, *rest in throughput],
    )
    output.table(
        "Latency per minute in ms, from ClickHouse",
        ("minute", "actor", "jobs>", "wait p50>", "wait p99>", "run p50>", "run p95>", "run p99>"),
        [
            (f"{minute:%H:%M}", actor, count, *(f"{value:.1f}" for value in times))
            for minute, actor, count, *times in latency
        ],
    )


def one_history(reach: Reach, run: Run) -> None:
    """A job's events; the middle of a long history is left out."""
    assert run.job is not None
    with Client(reach.url, api_key=reach.key or None, repeats=0) as api:
        found = msgspec.convert(history(api, run.job.id), list[Event])
    title = f"The history of {output.safe(run.name)} (job {run.job.id})"
    left_out = len(found) - _HEAD - _TAIL
    if left_out <= 1:
        output.table(title, EVENT_COLUMNS, event_rows(found), wrap=False)
        return
    rows = event_rows(found[:_HEAD])
    rows.append((None, "", f"... {left_out} more ...", None, "", None, ""))
    output.table(title, EVENT_COLUMNS, rows + event_rows(found[-_TAIL:]), wrap=False)


@cache
def _sql(name: str) -> str:
    return resources.files("triton.demo").joinpath(f"sql/{name}.sql").read_text()
