"""Queues and workers over HTTP: what waits, who works, and holding a queue."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from live_api import Hand, LiveApi

from eventually import eventually


@pytest.fixture
def queue() -> str:
    return "q-" + uuid.uuid4().hex


def view(api: LiveApi, queue: str) -> dict[str, Any]:
    found = {one["name"]: one for one in api.http.get("/api/v1/queues").json()["queues"]}
    shown: dict[str, Any] = found[queue]
    return shown


def test_a_queue_shows_what_is_in_it_and_who_works_on_it(
    api: LiveApi, hand: Hand, queue: str
) -> None:
    jobs = [hand.submit(queue=queue) for _ in range(3)]
    api.http.post(
        "/api/v1/jobs", json={"actor": "a", "queue": queue, "options": {"delay_ms": 60_000}}
    )
    hand.start(jobs[0], queue=queue)
    before = view(api, queue)
    assert (before["ready"], before["due"], before["running"]) == (2, 1, 1)
    assert (before["workers"], before["finished_per_minute"]) == (0, 0)
    assert (before["state"], before["held"]) == ("open", None)
    assert before["oldest_wait_s"] > 0
    hand.beat("w1", queue, jobs[0])
    hand.beat("w2", queue)
    after = view(api, queue)
    assert (after["workers"], after["finished_per_minute"]) == (2, 10)
    hand.start(jobs[2], queue=queue)
    assert view(api, queue)["oldest_wait_s"] is None


def test_workers_show_what_they_run(api: LiveApi, hand: Hand, queue: str) -> None:
    job = hand.submit(queue=queue, actor="count")
    hand.start(job, queue=queue)
    name = f"w-{queue}"
    hand.beat(name, queue, job)
    (worker,) = [
        one for one in api.http.get("/api/v1/workers").json()["workers"] if one["id"] == name
    ]
    (running,) = worker["running"]
    assert (running["job"], running["actor"], running["attempt"]) == (job, "count", 1)
    assert running["since"] == api.http.get(f"/api/v1/jobs/{job}").json()["started_at"]
    assert (worker["host"], worker["pid"], worker["threads"]) == ("h", 7, 4)
    hand.complete(job)
    (worker,) = [
        one for one in api.http.get("/api/v1/workers").json()["workers"] if one["id"] == name
    ]
    assert worker["running"] == [], "what it held a moment ago has ended"


def test_a_worker_is_gone_a_lease_after_its_last_heartbeat(
    api: LiveApi, hand: Hand, queue: str
) -> None:
    hand.beat("long", queue)
    hand.beat("short", queue, lease_ms=1)

    def names() -> set[str]:
        return {one["id"] for one in api.http.get("/api/v1/workers").json()["workers"]}

    eventually(lambda: "short" not in names())
    assert "long" in names()


def test_a_queue_is_paused_drained_and_resumed(api: LiveApi, hand: Hand, queue: str) -> None:
    job = hand.submit(queue=queue)
    paused = api.http.post(f"/api/v1/queues/{queue}/pause", json={"reason": "repairs"}).json()
    assert (paused["state"], paused["ready"]) == ("paused", 1)
    assert (paused["held"]["by"], paused["held"]["reason"]) == ("user:anonymous", "repairs")
    again = api.http.post(f"/api/v1/queues/{queue}/pause", json={"reason": "another"}).json()
    assert again["held"] == paused["held"], "who came first stays"
    told = api.http.get(f"/api/v1/jobs/{job}/explain").json()["summary"]
    assert "The queue is paused by user:anonymous" in told
    assert "repairs" in told
    drained = api.http.post(f"/api/v1/queues/{queue}/drain").json()
    assert (drained["state"], drained["held"]["reason"]) == ("draining", "")
    refused = api.http.post("/api/v1/jobs", json={"actor": "a", "queue": queue})
    assert (refused.status_code, refused.json()["code"]) == (409, "queue_closed")
    resumed = api.http.post(f"/api/v1/queues/{queue}/resume").json()
    assert (resumed["state"], resumed["held"]) == ("open", None)
    assert api.http.post(f"/api/v1/queues/{queue}/resume").status_code == 200
    assert api.http.post("/api/v1/jobs", json={"actor": "a", "queue": queue}).status_code == 202


def test_a_queue_that_nobody_has_heard_of_is_not_held(api: LiveApi, queue: str) -> None:
    answer = api.http.post(f"/api/v1/queues/{queue}/pause")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert queue not in api.http.get("/api/v1/queues").text


def test_a_queue_s_name_may_hold_slashes(api: LiveApi, hand: Hand) -> None:
    hand.submit(queue="mail/eu%2F")
    paused = api.http.post("/api/v1/queues/mail%2Feu%252F/pause")
    assert (paused.json()["name"], paused.json()["state"]) == ("mail/eu%2F", "paused")
