"""Times to live, times to run at, unique jobs and idempotency keys over HTTP."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from live_api import Hand, LiveApi, project

from triton import keys
from triton.terms import encode_declared

JOBS = "/api/v1/jobs"


def submit(
    api: LiveApi, key: str | None = None, args: tuple[Any, ...] = (), **options: Any
) -> tuple[int, dict[str, Any]]:
    answer = api.http.post(
        JOBS,
        json={"actor": "work", "args": args, "options": options},
        headers={"Idempotency-Key": key} if key else {},
    )
    return answer.status_code, answer.json()


def later(**delta: int) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def test_a_unique_job_is_found_replaced_or_in_the_way(api: LiveApi) -> None:
    first = submit(api, args=(1,), unique=True)[1]
    status, again = submit(api, args=(1,), unique=True)
    assert (status, again["id"], again["existing"]) == (202, first["id"], True)
    unique = {"key": "nightly", "window_ms": 60_000}
    held = submit(api, args=(2,), unique=unique)[1]
    status, problem = submit(api, args=(3,), unique={**unique, "conflict": "reject"})
    assert (status, problem["code"], problem["details"]) == (
        409,
        "not_unique",
        {"job": held["id"]},
    )
    status, new = submit(api, args=(3,), unique={**unique, "conflict": "replace"})
    assert (status, new["existing"]) == (202, False)
    replaced = api.http.get(f"{JOBS}/{held['id']}").json()
    assert (replaced["state"], replaced["reason"]) == ("cancelled", f"replaced by {new['id']}")


def test_an_actors_own_terms_hold_unless_the_submit_says_otherwise(
    api: LiveApi, hand: Hand
) -> None:
    first = keys.prefix(api.settings.namespace, 0)
    hand.client.hset(keys.terms(first), "strict", encode_declared({"unique": "k", "ttl": 60_000}))

    def send(**options: Any) -> dict[str, Any]:
        body = {"actor": "strict", "args": [uuid.uuid4().hex], "options": options}
        reply: dict[str, Any] = api.http.post(JOBS, json=body).json()
        return reply

    job = send()["id"]
    assert send()["id"] == job
    assert send(unique=False)["id"] != job
    assert send(unique=True)["id"] != job
    assert hand.client.zscore(keys.expires(first), job)
    assert send(delay_ms=60_000)["code"] == "validation", "it would expire before"


def test_an_idempotency_key_stands_for_one_payload(api: LiveApi, hand: Hand) -> None:
    first = submit(api, "order-1", args=(1,))[1]
    assert submit(api, "order-1", args=(1,))[1]["id"] == first["id"]
    hand.run(first["id"])
    status, again = submit(api, "order-1", args=(1,))
    assert (status, again["id"], again["state"]) == (202, first["id"], "completed")
    status, problem = submit(api, "order-1", args=(2,))
    assert (status, problem["code"]) == (422, "idempotency_mismatch")
    project(api.settings)
    assert submit(api, "order-1", args=(2,))[0] == 422, "the head is asked, not the row"


def test_jobs_of_a_bulk_call_have_terms_too(api: LiveApi) -> None:
    def item(number: int, conflict: str) -> dict[str, Any]:
        unique = {"key": "bulk", "conflict": conflict}
        return {"actor": "work", "args": [number], "options": {"unique": unique}}

    jobs = [item(1, "return"), item(2, "return"), item(3, "reject"), {"actor": "work"}]
    answer = api.http.post(f"{JOBS}/bulk", json={"jobs": jobs})
    assert answer.status_code == 202
    first, same, refused, plain = answer.json()["jobs"]
    assert [one["status"] for one in (first, same, refused, plain)] == [
        *("accepted", "exists", "rejected", "accepted")
    ]
    assert same["id"] == first["id"]
    assert first["id"] in refused["error"]["message"]


def test_a_time_to_run_at_makes_the_job_scheduled(api: LiveApi) -> None:
    when = later(hours=1)
    status, reply = submit(api, run_at=when, ttl_ms=7_200_000)
    assert (status, reply["state"]) == (202, "scheduled")
    view = api.http.get(f"{JOBS}/{reply['id']}").json()
    assert datetime.fromisoformat(view["due_at"]) == datetime.fromisoformat(when)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"run_at": "2099-01-01T00:00:00"}, "options.run_at"),
        ({"run_at": "2001-01-01T00:00:00Z"}, "options.run_at"),
        ({"run_at": "2099-01-01T00:00:00Z", "delay_ms": 5}, "options.run_at"),
        ({"ttl_ms": 0}, "options.ttl_ms"),
        ({"ttl_ms": 10, "delay_ms": 10}, "options.ttl_ms"),
        ({"delay_ms": -1}, "options.delay_ms"),
        ({"unique": {"conflict": "ignore"}}, "options.unique.conflict"),
    ],
)
def test_terms_that_make_no_sense_are_refused(
    api: LiveApi, options: dict[str, Any], field: str
) -> None:
    status, problem = submit(api, **options)
    assert (status, problem["code"]) == (422, "validation")
    assert problem["details"]["fields"][0]["field"] == field
