"""Owns how failed jobs look to clients: one by one, and counted in groups. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from triton.api import pages
from triton.api.views import rfc3339_of
from triton.events.envelope import to_microseconds
from triton.job_view import links_of

Group = Literal["actor", "error", "reason", "queue", "tenant", "hour", "day"]


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which failed jobs; None does not filter. `after` is inclusive, `before` is not."""

    queue: str | None = None
    actor: str | None = None
    error: str | None = None
    reason: str | None = None
    tenant: str | None = None
    after: datetime | None = None
    before: datetime | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One failed job. `error` is the class name of what was raised, empty for none."""

    id: str
    actor: str
    queue: str
    tenant: str
    error: str
    message: str
    #: error | time_limit | died | rejected | expired
    reason: str
    attempt: int
    #: Workers that died under it.
    deaths: int
    submitted_at: str
    failed_at: str
    links: dict[str, str]


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page, the last failed first. `next` goes into the next request; null on the last page."""

    dead_letters: list[DeadLetter]
    next: str | None


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Failed jobs that have in common what was asked for; the others of these fields are null."""

    count: int
    actor: str | None
    error: str | None
    reason: str | None
    queue: str | None
    tenant: str | None
    #: When the hour or day began, in UTC.
    since: str | None
    first_at: str
    last_at: str


class DeadLetterCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The largest groups first, and how many failed jobs there are in all of them."""

    groups: list[DeadLetterGroup]
    total: int


def page_of(rows: Sequence[Mapping[str, Any]], limit: int) -> DeadLetterPage:
    """`rows`: one more than the page has tells that another follows."""
    shown, following = pages.cut(
        rows, limit, lambda row: pages.Keys(to_microseconds(row["failed_at"]), row["job"])
    )
    return DeadLetterPage(dead_letters=[_letter(row) for row in shown], next=following)


def counts_of(rows: Sequence[Mapping[str, Any]]) -> DeadLetterCounts:
    return DeadLetterCounts(
        groups=[_group(row) for row in rows], total=rows[0]["total"] if rows else 0
    )


def _letter(row: Mapping[str, Any]) -> DeadLetter:
    return DeadLetter(
        id=row["job"],
        actor=row["actor"],
        queue=row["queue"],
        tenant=row["tenant"],
        error=row["error_type"],
        message=row["message"] or "",
        reason=row["reason"],
        attempt=row["attempt"],
        deaths=row["deaths"],
        submitted_at=rfc3339_of(row["submitted_at"]) or "",
        failed_at=rfc3339_of(row["failed_at"]) or "",
        links=links_of(row["job"]),
    )


def _group(row: Mapping[str, Any]) -> DeadLetterGroup:
    times = {name: rfc3339_of(row[name]) for name in ("since", "first_at", "last_at")}
    return DeadLetterGroup(
        count=row["count"],
        actor=row["actor"],
        error=row["error"],
        reason=row["reason"],
        queue=row["queue"],
        tenant=row["tenant"],
        since=times["since"],
        first_at=times["first_at"] or "",
        last_at=times["last_at"] or "",
    )
