"""Runs projectors, API and proof on a cluster: what reads the log there, besides the workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import dramatiq
import httpx
from broker_kit import MakeBroker, Run
from live_api import LiveApi

from cluster_servers import PARTITIONS
from eventually import eventually
from triton import migrate
from triton.projections import run_projectors
from triton.projections.lag import read_lag
from triton.projections.report import Report
from triton.projections.verify import verify_async
from triton.settings import Settings


def test_projectors_api_and_proof_read_a_cluster(
    engines: SimpleNamespace,
    make_broker: MakeBroker,
    run: Run,
    namespace: str,
    database_url: str,
    clickhouse_database: str,
    tmp_path: Path,
) -> None:
    settings = Settings(
        auth="off",
        redis_url=engines.redis_url,
        database_url=database_url,
        clickhouse_url=f"{engines.clickhouse_url.rpartition('/')[0]}/{clickhouse_database}",
        archive_url=tmp_path.as_uri(),
        namespace=namespace,
        partitions=PARTITIONS,
    )
    migrate.up(settings.database_url, settings.clickhouse_url)
    broker = make_broker()

    @dramatiq.actor
    def double(number: int) -> int:
        return 2 * number

    with run(broker), LiveApi(settings) as api:
        jobs = [_submit(api.http, number) for number in range(12)]
        for number, job in enumerate(jobs):
            view = eventually(lambda job=job: _completed(api.http, job))
            assert view["result"] == 2 * number
        with api.http.stream("GET", f"/api/v1/jobs/{jobs[0]}/subscribe") as stream:
            assert "event: triton.end" in list(stream.iter_lines())
        (queue,) = api.http.get("/api/v1/queues").json()["queues"]
        assert (queue["name"], queue["ready"]) == ("default", 0)
        eventually(lambda: len(api.http.get("/api/v1/workers").json()["workers"]) == 1)
    report = asyncio.run(_projected(settings))
    assert report.ok
    assert sum(one.rows for one in report.checked if one.table == "postgres.jobs") == 12
    assert all(one.position == one.log_position for one in report.checked)
    double.send(1)
    behind = [one for one in read_lag(settings) if one.behind]
    assert behind, "the last job is not projected"
    assert all(one.seconds > 0 for one in behind)


def _submit(http: httpx.Client, number: int) -> str:
    body = {"actor": "double", "args": [number], "queue": "default"}
    answer = http.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def _completed(http: httpx.Client, job: str) -> dict[str, int] | None:
    view = http.get(f"/api/v1/jobs/{job}").json()
    return view if view["state"] == "completed" else None


async def _projected(settings: Settings) -> Report:
    """The proof, once projectors have read the whole log."""
    stop = asyncio.Event()
    projecting = asyncio.create_task(run_projectors(settings, stop))
    try:
        for _ in range(600):
            report = await verify_async(settings)
            checked = report.checked
            if checked and all(one.position == one.log_position for one in checked):
                return report
            await asyncio.sleep(0.1)
        return report
    finally:
        stop.set()
        await projecting
