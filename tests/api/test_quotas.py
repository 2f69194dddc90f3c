"""A tenant's quotas over the API: refused with 429 and a reason, given back as jobs end, told by explain."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from live_api import Hand, LiveApi

from eventually import eventually
from triton import keys


def tenant() -> str:
    return "q-" + uuid.uuid4().hex[:8]


def limit(api: LiveApi, whose: str, **quotas: float) -> dict[str, Any]:
    answer = api.http.put(f"/api/v1/quotas?tenant={whose}", json=quotas)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def submit(api: LiveApi, whose: str, key: str = "") -> Any:
    body = {"actor": "work", "options": {"tenant": whose}}
    return api.http.post(
        "/api/v1/jobs", json=body, headers={"Idempotency-Key": key or uuid.uuid4().hex}
    )


def bulk(api: LiveApi, whose: str, count: int) -> Any:
    jobs = [{"actor": "work", "options": {"tenant": whose}}] * count
    return api.http.post("/api/v1/jobs/bulk", json={"jobs": jobs})


def refused(answer: Any, quota: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded"), answer.text
    details: dict[str, Any] = answer.json()["details"]
    assert details["quota"] == quota
    assert int(answer.headers["retry-after"]) >= 1
    return details


def test_open_jobs_are_limited_and_those_that_end_make_room(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, max_pending=3)
    jobs = [submit(api, whose, f"{whose}-{n}").json()["id"] for n in range(3)]

    details = refused(submit(api, whose), "max_pending")
    assert (details["limit"], details["used"]) == (3, 3)
    # A resend is no job more.
    again = submit(api, whose, f"{whose}-0")
    assert (again.status_code, again.json()["existing"]) == (202, True)
    # Others are not touched.
    assert submit(api, tenant()).status_code == 202

    assert api.http.post(f"/api/v1/jobs/{jobs[0]}/cancel", json={"reason": "x"}).status_code == 200
    eventually(lambda: submit(api, whose).status_code == 202)
    shown = eventually(
        lambda: (
            (found := api.http.get(f"/api/v1/quotas?tenant={whose}").json())["pending"] == 3
            and found
        )
    )
    assert shown["max_pending"] == 3
    explained = api.http.get(f"/api/v1/jobs/{jobs[1]}/explain").json()
    metrics = api.http.get("/metrics").text
    assert f'triton_quota_limit{{quota="max_pending",tenant="{whose}"}} 3.0' in metrics
    assert f'triton_quota_refused_total{{quota="max_pending",tenant="{whose}"}}' in metrics
    assert explained["limits"] == [
        f"Tenant {whose} has 3 jobs that are not ended, of 3 that it may have."
    ]


def test_a_call_of_many_is_taken_whole_or_not_at_all(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, max_pending=5)
    assert bulk(api, whose, 4).json()["accepted"] == 4
    refused(bulk(api, whose, 2), "max_pending")
    assert bulk(api, whose, 1).json()["accepted"] == 1


def test_jobs_a_second_are_limited_and_many_at_once_are_paid_for(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, jobs_per_second=0.01)
    assert submit(api, whose).status_code == 202
    details = refused(submit(api, whose), "jobs_per_second")
    assert 90 <= details["retry_after"] <= 100

    other = tenant()
    limit(api, other, jobs_per_second=2)
    assert [submit(api, other).status_code for _ in range(2)] == [202, 202]
    many = tenant()
    limit(api, many, jobs_per_second=2)
    assert bulk(api, many, 100).json()["accepted"] == 100
    assert 40 <= refused(submit(api, many), "jobs_per_second")["retry_after"] <= 50


def test_a_tenant_without_limits_leaves_no_trace_in_redis(api: LiveApi, hand: Hand) -> None:
    whose = tenant()
    assert submit(api, whose).status_code == 202
    prefix = keys.prefix(api.settings.namespace, 0)
    names = (keys.quota_rate(prefix, whose), keys.quota_open(prefix, whose))
    assert hand.client.exists(*names) == 0


def test_stored_bytes_are_limited(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, max_stored_bytes=100)

    def upload(size: int) -> Any:
        return api.http.post(f"/api/v1/documents?tenant={whose}", content=b"x" * size)

    assert upload(60).status_code == 201
    assert upload(41).status_code == 413
    assert upload(40).status_code == 201
    refused(upload(1), "max_stored_bytes")
    counted = f'triton_quota_refused_total{{quota="max_stored_bytes",tenant="{whose}"}} 2.0'
    assert counted in api.http.get("/metrics").text
    assert api.http.get(f"/api/v1/quotas?tenant={whose}").json()["stored_bytes"] == 100


def test_uploads_that_come_at_once_share_what_is_left(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, max_stored_bytes=100)
    both = threading.Barrier(2, timeout=60)

    def halves() -> Iterator[bytes]:
        yield b"x" * 30
        both.wait()
        yield b"x" * 30

    def upload(_: int) -> int:
        return httpx.post(
            f"{api.url}/api/v1/documents?tenant={whose}", content=halves(), timeout=60
        ).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(upload, range(2))) == [201, 413]
    assert api.http.get(f"/api/v1/quotas?tenant={whose}").json()["stored_bytes"] == 60


def test_streams_are_limited(api: LiveApi) -> None:
    limit(api, "default", max_streams=0)
    try:
        answer = api.http.get("/api/v1/events/subscribe", headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        again = api.http.get("/api/v1/events/subscribe")
        assert again.status_code == 429
        counted = 'triton_quota_refused_total{quota="max_streams",tenant="default"} 2.0'
        assert counted in api.http.get("/metrics").text
    finally:
        limit(api, "default")
    answer = api.http.get("/api/v1/events/subscribe", headers={"Accept": "application/json"})
    assert answer.status_code == 200


@pytest.mark.parametrize("quota", [{"max_pending": -1}, {"jobs_per_second": 0}, {"more": 1}])
def test_quotas_that_are_none_are_refused(api: LiveApi, quota: dict[str, int]) -> None:
    answer = api.http.put(f"/api/v1/quotas?tenant={tenant()}", json=quota)
    assert answer.status_code == 422


def test_a_quota_is_lifted_by_leaving_it_out(api: LiveApi) -> None:
    whose = tenant()
    limit(api, whose, max_pending=0)
    refused(submit(api, whose), "max_pending")
    shown = limit(api, whose)
    assert (shown["max_pending"], shown["pending"]) == (None, None)
    assert submit(api, whose).status_code == 202
