"""Owns how rows of PostgreSQL become what clients see; `triton.job_view` says how a job looks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from triton.job_view import JobView, links_of


def from_row(row: Mapping[str, Any]) -> JobView:
    """The view of a row of `jobs`."""
    error = row["error"]
    return JobView(
        id=row["job"],
        error=None if error is None else {"type": "", "message": "", "traceback": "", **error},
        submitted_at=rfc3339_of(row["submitted_at"]) or "",
        due_at=rfc3339_of(row["due_at"]),
        started_at=rfc3339_of(row["started_at"]),
        finished_at=rfc3339_of(row["finished_at"]),
        updated_at=rfc3339_of(row["updated_at"]) or "",
        links=links_of(row["job"]),
        **{name: row[name] for name in _SAME},
    )


_SAME: Final = (
    "actor",
    "queue",
    "tenant",
    "state",
    "percent",
    "stage",
    "attempt",
    "args",
    "kwargs",
    "priority",
    "result",
    "reason",
    "worker",
    "deaths",
    "cancel_requested",
    "by",
    "causation",
    "correlation",
    "version",
    "partition",
    "position",
)


def rfc3339_of(when: datetime | None) -> str | None:
    """A time of PostgreSQL's as clients see it; None for none."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if when else None
