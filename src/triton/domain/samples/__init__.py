"""Owns sample data: claims and what belongs to them, made by ClickHouse itself, the same each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import msgspec

from triton.errors import ValidationError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

#: The first month, and how many there are.
FIRST: Final = date(2023, 1, 1)
MONTHS: Final = 36
#: Claims of one tenant at most: a month's are numbered below 10,000,000,000.
MOST: Final = 10_000_000_000
#: Rows of one insert: one block, so all of it or nothing.
CHUNK: Final = 1_000_000
#: Members for each claim of a month, unless somebody says how many.
_MEMBERS: Final = 2.0


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """One month of one table: rows that were there, and rows that were added."""

    table: str
    month: date
    before: int
    added: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A table, its column with the date, and its rows for each claim."""

    table: str
    day: str
    share: float


SOURCES: Final = (
    Source(table="claims", day="service_date", share=1.0),
    Source(table="pharmacy", day="filled_on", share=0.4),
    Source(table="clinical", day="observed_on", share=0.2),
    Source(table="utilization_events", day="at", share=0.15),
)


def months() -> list[date]:
    return [date(FIRST.year + n // 12, n % 12 + 1, 1) for n in range(MONTHS)]


def members_for(claims: int) -> int:
    """How many members so many claims are of: about one claim in two months of each."""
    return max(1, round(claims / MONTHS * _MEMBERS))


def fill(
    client: Client, tenant: str, *, claims: int, members: int = 0, over: Sequence[date] = ()
) -> Iterator[Filled]:
    """Bring the tenant to this many claims over 36 months (or `over` others), with pharmacy, clinical values,
    utilization and enrollment in proportion; answers each month of each table as it is done.

    What is there is kept, so the same call again adds nothing, and one that was interrupted goes on. A tenant
    keeps the number of members it began with. Raises ValidationError; ClickHouse's errors as they come.
    """
    if not 0 < claims <= MOST:
        raise ValidationError(f"{claims} claims cannot be made: from 1 to {MOST}")
    enrolled = _by_month(client, tenant, "enrollment FINAL", "month", "sum(members)")
    many = max(enrolled.values(), default=members or members_for(claims))
    if members and members != many:
        raise ValidationError(
            f"tenant {tenant!r} has {many} members: its claims are of these; leave --members out, or "
            "name another tenant"
        )
    spread = over or months()
    for month in spread:
        if month not in enrolled:
            client.command(
                _sql("enrollment"), parameters={"tenant": tenant, "month": month, "members": many}
            )
    for source in SOURCES:
        there = _by_month(client, tenant, source.table, source.day, "count()")
        total = round(claims * source.share)
        for index, month in enumerate(spread):
            wanted = total // len(spread) + (index < total % len(spread))
            before = there.get(month, 0)
            for first in range(before, wanted, CHUNK):
                span = {"first": first, "count": min(CHUNK, wanted - first)}
                _insert(client, source, {"tenant": tenant, "month": month, "members": many, **span})
            added = max(0, wanted - before)
            yield Filled(table=source.table, month=month, before=before, added=added)


def _insert(client: Client, source: Source, values: dict[str, object]) -> None:
    client.command(
        _sql(source.table),
        parameters=values,
        # One thread and one block: rows come in order, and a chunk is never there by half.
        settings={"max_insert_threads": 1, "max_threads": 1, "max_block_size": CHUNK},
    )


def _by_month(client: Client, tenant: str, table: str, day: str, what: str) -> dict[date, int]:
    rows = client.query(
        f"SELECT toStartOfMonth({day}) AS month, {what} FROM {table}"
        " WHERE tenant = {tenant:String} GROUP BY month",
        parameters={"tenant": tenant},
    ).result_rows
    return {month: int(found) for month, found in rows}


@cache
def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"sql/{name}.sql").read_text()
