"""Sample data: in its tenant alone, the same again, exact where sums are kept, and enough for dashboards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import clickhouse_connect
import psycopg
import pytest
from clickhouse_connect.driver.client import Client

from triton.domain import dashboards, samples, seeding
from triton.errors import ValidationError
from triton.migrate import discover
from triton.migration_targets import ClickHouseTarget
from triton.stack.engines import Engines

CLAIMS = 3_601
MONTHS = [date(2023, 12, 1), date(2024, 1, 1), date(2024, 2, 1)]
YEAR = {"since": date(2024, 1, 1), "until": date(2025, 1, 1)}


@pytest.fixture(scope="module")
def claims(engines: Engines) -> Iterator[Client]:
    """A database with the claims of two tenants."""
    with clickhouse_connect.get_client(dsn=engines.clickhouse_url) as admin:
        admin.command("CREATE DATABASE claims_test")
    url = f"{engines.clickhouse_url.rpartition('/')[0]}/claims_test"
    with ClickHouseTarget(url) as target:
        for one in discover("clickhouse"):
            target.apply(one.number, one.name, one.up, one.sha256)
    with clickhouse_connect.get_client(dsn=url) as client:
        for tenant in ("alpha", "beta"):
            list(samples.fill(client, tenant, claims=CLAIMS, members=500, over=MONTHS))
        yield client
        client.command("DROP DATABASE claims_test SYNC")


def one(client: Client, statement: str) -> object:
    return client.query(statement).result_rows[0][0]


def test_records_are_added_once_and_to_one_tenant(database_url: str) -> None:
    first = seeding.seed(database_url, "alpha")
    assert all(first.values()), first
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE clients SET name = 'Mine' WHERE name = 'Sample Health Plan'")

    assert seeding.seed(database_url, "alpha") == first
    with psycopg.connect(database_url) as connection:
        owners = connection.execute("SELECT DISTINCT tenant FROM executions").fetchall()
        mine = connection.execute("SELECT count(*) FROM clients WHERE name = 'Mine'").fetchone()
    assert (owners, mine) == ([("alpha",)], (1,))
    assert seeding.seed(database_url, "beta") == first


def test_claims_are_as_many_as_asked_and_the_same_for_every_tenant(claims: Client) -> None:
    counts = claims.query(
        "SELECT tenant, count(), uniqExact(claim) FROM claims"
        " WHERE tenant IN ('alpha', 'beta') GROUP BY tenant ORDER BY tenant"
    )
    assert counts.result_rows == [("alpha", CLAIMS, CLAIMS), ("beta", CLAIMS, CLAIMS)]
    hashes = claims.query(
        "SELECT sum(cityHash64(* EXCEPT tenant)) FROM claims"
        " WHERE tenant IN ('alpha', 'beta') GROUP BY tenant"
    ).result_rows
    assert hashes[0] == hashes[1]
    spread = claims.query(
        "SELECT uniqExact(toStartOfMonth(service_date)), uniqExact(type), uniqExact(diagnosis),"
        " min(paid_date > service_date),"
        " max(member) < 500, countIf(paid > allowed), countIf(paid > 0 AND status != 'paid') FROM claims"
    ).result_rows
    assert spread == [(3, 4, 30, True, True, 0, 0)]


def test_again_adds_nothing_and_more_adds_what_is_missing(claims: Client) -> None:
    again = list(samples.fill(claims, "alpha", claims=CLAIMS, over=MONTHS))
    assert sum(month.added for month in again) == 0
    list(samples.fill(claims, "gamma", claims=200, members=500, over=MONTHS))
    more = list(samples.fill(claims, "gamma", claims=CLAIMS, over=MONTHS))
    assert sum(month.added for month in more if month.table == "claims") == CLAIMS - 200
    same = "SELECT sum(cityHash64(* EXCEPT tenant)) FROM claims WHERE tenant = "
    assert one(claims, same + "'gamma'") == one(claims, same + "'alpha'")


def test_a_seed_is_over_three_years() -> None:
    spread = samples.months()
    assert (len(spread), spread[0], spread[-1]) == (36, date(2023, 1, 1), date(2025, 12, 1))


def test_a_tenant_keeps_its_number_of_members(claims: Client) -> None:
    with pytest.raises(ValidationError, match="has 500 members"):
        list(samples.fill(claims, "alpha", claims=CLAIMS, members=7))
    with pytest.raises(ValidationError, match="from 1 to"):
        list(samples.fill(claims, "alpha", claims=0))


def test_kept_sums_are_those_of_the_rows(claims: Client) -> None:
    kept = claims.query(
        "SELECT category, toUInt64(sum(items)), sum(paid) FROM cost_analysis WHERE tenant = 'beta'"
        " GROUP BY category ORDER BY category"
    ).result_rows
    rows = claims.query(
        "SELECT * FROM (SELECT type AS c, count(), sum(paid) FROM claims WHERE tenant = 'beta' GROUP BY c"
        " UNION ALL"
        " SELECT 'pharmacy', count(), sum(paid) FROM pharmacy WHERE tenant = 'beta') ORDER BY c"
    ).result_rows
    assert kept == rows
    members = one(claims, "SELECT sum(members) FROM enrollment FINAL WHERE tenant = 'beta'")
    assert members == 500 * len(MONTHS)


@pytest.mark.parametrize("name", dashboards.NAMES)
def test_every_dashboard_answers_for_its_tenant_alone(claims: Client, name: str) -> None:
    found = claims.query(dashboards.sql(name), parameters={"tenant": "alpha", **YEAR})
    assert found.result_rows
    if "month" in found.column_names:
        assert {row[0].year for row in found.result_rows} == {2024}
    nobody = claims.query(dashboards.sql(name), parameters={"tenant": "nobody", **YEAR})
    assert nobody.result_rows == []


def test_the_two_ways_to_cost_per_member_agree(claims: Client) -> None:
    values = {"tenant": "alpha", **YEAR}
    quick = claims.query(dashboards.sql("pmpm"), parameters=values).result_rows
    slow = claims.query(dashboards.sql("pmpm_from_claims"), parameters=values).result_rows
    assert [row[:3] for row in quick] == slow
    share = claims.query(dashboards.sql("pharmacy_share"), parameters=values).result_rows
    assert all(Decimal(0) < row[1] < row[2] for row in share)
