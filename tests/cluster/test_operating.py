"""What people do to many jobs, on a cluster: each call there reaches several slots."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from live_api import LiveApi, project

from cluster_servers import PARTITIONS
from triton import keys, migrate
from triton.settings import Settings

JOBS = "/api/v1/jobs"
#: So many that each partition has some, whatever their ids are.
MANY = 150


def post(api: LiveApi, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.http.post(JOBS + path, json=body, headers={"Idempotency-Key": "one"})
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_bulk_explain_cancel_and_requeue_reach_every_partition(
    engines: SimpleNamespace, namespace: str, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        auth="off",
        redis_url=engines.redis_url,
        database_url=database_url,
        clickhouse_url=engines.clickhouse_url,
        archive_url=tmp_path.as_uri(),
        namespace=namespace,
        partitions=PARTITIONS,
    )
    migrate.up(database_url)
    with LiveApi(settings) as api:
        call = {"jobs": [{"actor": "work", "args": [number]} for number in range(MANY)]}
        jobs = [receipt["id"] for receipt in post(api, "/bulk", call)["jobs"]]
        assert {keys.partition_of(job, PARTITIONS) for job in jobs} == set(range(PARTITIONS))
        assert post(api, "/bulk", call)["existing"] == MANY
        assert f"{MANY} wait there" in api.http.get(f"{JOBS}/{jobs[0]}/explain").json()["summary"]
        project(settings, range(PARTITIONS))
        for action, state, chosen in (
            ("cancel", "cancelled", {}),
            ("requeue", "pending", {"status": ["cancelled"]}),
        ):
            found = post(api, f"/{action}", {"filter": chosen, "dry_run": True})
            assert found["count"] == MANY
            assert (
                post(api, f"/{action}", {"token": found["token"], "reason": "a test"})["done"]
                == MANY
            )
            project(settings, range(PARTITIONS))
            assert api.http.get(JOBS, params={"status": state, "limit": 1}).json()["jobs"]
            assert {api.http.get(f"{JOBS}/{job}").json()["state"] for job in jobs[:8]} == {state}
