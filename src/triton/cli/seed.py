"""Owns `triton seed`: sample data of a tenant, to look around and to measure with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from triton.cli.options import Data, Json
from triton.cli.telling import takes_long, telling

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@takes_long("seed")
def seed(
    tenant: Annotated[str, typer.Option(help="Whose data it is.")] = "default",
    claims: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also this many claims over 36 months, with pharmacy, clinical and utilization.",
        ),
    ] = 0,
    members: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="Of the claims; default: two for each claim of a month."
        ),
    ] = 0,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Add sample data: clients, prospects, prompts and the like, and claims. Again adds nothing twice."""
    from triton.cli import output
    from triton.cli.audit_reading import person
    from triton.cli.target import engines
    from triton.domain import seeding
    from triton.events.types import OrganizationAdded
    from triton.identity.announcing import announce

    needed = ("database_url", "redis_url", *(["clickhouse_url"] if claims else []))
    chosen = engines(data, *needed)

    def added() -> None:
        event = OrganizationAdded(organization=tenant, reason="sample data")
        announce(chosen, event, op=f"tenant:{tenant}", by=person(), tenant=tenant)

    records = seeding.seed(chosen.database_url, tenant, added)
    filled: dict[str, dict[str, int]] = {}
    begun = time.monotonic()
    if claims:
        with _client(chosen.clickhouse_url) as client:
            filled = _fill(client, tenant, claims, members)
    took = time.monotonic() - begun
    if as_json:
        output.document(
            {"tenant": tenant, "records": records, "analytics": filled, "seconds": round(took, 3)}
        )
        return
    output.table("", ("table", "rows"), [(table, str(rows)) for table, rows in records.items()])
    if claims:
        rows = [
            (table, f"{found['rows']:,}", f"{found['added']:,}") for table, found in filled.items()
        ]
        output.table("", ("table", "rows", "added"), rows)
        output.line(f"{sum(found['added'] for found in filled.values()):,} rows in {took:.1f} s")


def _fill(client: Client, tenant: str, claims: int, members: int) -> dict[str, dict[str, int]]:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from triton.domain import samples
    from triton.errors import UnavailableError, no_answer

    found: dict[str, dict[str, int]] = {}
    try:
        for month in samples.fill(client, tenant, claims=claims, members=members):
            table = found.setdefault(month.table, {"rows": 0, "added": 0})
            table["rows"] += month.before + month.added
            table["added"] += month.added
            telling.reached(table=month.table, **table)
    except ClickHouseError as error:
        raise UnavailableError(no_answer("ClickHouse", error)) from error
    return found


def _client(url: str) -> Client:
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from triton.errors import UnavailableError, no_answer

    try:
        return clickhouse_connect.get_client(dsn=url, send_receive_timeout=600)
    except ClickHouseError as error:
        raise UnavailableError(no_answer("ClickHouse", error)) from error
