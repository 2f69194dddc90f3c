"""Why a job is where it is, over HTTP: the facts come from Redis, the index and the log."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import redis
from live_api import Hand, LiveApi, project

from triton import keys
from triton.settings import Settings


def explain(api: LiveApi, job: str) -> dict[str, Any]:
    answer = api.http.get(f"/api/v1/jobs/{job}/explain")
    assert answer.status_code == 200, answer.text
    explained: dict[str, Any] = answer.json()
    assert explained.keys() == {"job", "state", "summary", "because", "next", "limits"}
    return explained


def texts(explained: dict[str, Any]) -> list[str]:
    return [cause["text"] for cause in explained["because"]]


def test_a_waiting_job_knows_who_is_before_it(api: LiveApi, hand: Hand) -> None:
    jobs = [hand.submit(n, queue="line") for n in range(4)]
    hand.start(jobs[0], queue="line")
    summary = explain(api, jobs[3])["summary"]
    assert "It waits for a worker in queue line since" in summary
    assert "2 jobs are before it; 3 wait there, 1 runs now." in summary
    assert "Worker w1 runs its attempt 1" in explain(api, jobs[0])["summary"]


def test_a_paused_queue_and_one_without_workers_are_why(
    api: LiveApi, hand: Hand, redis_client: redis.Redis, module_settings: Settings
) -> None:
    job = hand.submit(queue="stuck")
    explained = explain(api, job)
    actor = api.http.get(f"/api/v1/jobs/{job}").json()["actor"]
    assert f"No worker has ever said that it has an actor {actor}." in explained["summary"]
    redis_client.hset(keys.actors(keys.prefix(module_settings.namespace, 0)), actor, "stuck")
    explained = explain(api, job)
    assert "No worker is known to listen to queue stuck." in explained["summary"]
    assert explained["next"] == "Start a worker that has an actor with queue stuck."
    api.http.post("/api/v1/queues/stuck/pause", json={"reason": "the upstream is away"})
    explained = explain(api, job)
    assert "The queue is paused by user:anonymous since 2" in explained["summary"]
    assert "UTC: the upstream is away." in explained["summary"]
    assert explained["next"] == "`triton queues resume stuck` lets workers take it."
    hand.beat("w1", "stuck")
    api.http.post("/api/v1/queues/stuck/resume")
    explained = explain(api, job)
    assert "No worker" not in explained["summary"]
    assert explained["next"] == "The next free worker starts it."


def test_the_whole_story_is_the_same_from_the_index_and_from_the_log(
    api: LiveApi, hand: Hand
) -> None:
    job = hand.submit("story", queue="story")
    hand.start(job, queue="story")
    hand.output(job, *("chatter" for _ in range(120)))
    hand.retry(job)
    hand.start(job, queue="story")
    hand.fail(job, "no more")
    from_log = explain(api, job)
    assert texts(from_log) == [
        "user:test submitted it.",
        "Attempt 1 began on worker w1.",
        from_log["because"][2]["text"],
        "Its time came, and it took its place in the queue.",
        "Attempt 2 began on worker w1.",
        "It failed: its last attempt raised ValueError: no more, and no retry was left or wanted.",
    ]
    assert from_log["because"][2]["text"].startswith(
        "Attempt 1 failed: ValueError. A retry was set"
    )
    assert "Before that: attempt 1 failed (ValueError)." in from_log["summary"]
    project(api.settings)
    assert explain(api, job) == from_log
    api.http.post(f"/api/v1/jobs/{job}/requeue", json={"reason": "upstream is back"})
    again = explain(api, job)
    assert texts(again)[-1] == "user:anonymous sent it round again: upstream is back."
    assert "upstream is back" in again["summary"]


def test_who_cancelled_a_running_job_and_why(api: LiveApi, hand: Hand) -> None:
    job = hand.submit(queue="stopped")
    hand.start(job, queue="stopped")
    api.http.post(f"/api/v1/jobs/{job}/cancel", json={"reason": "too slow"})
    assert "user:anonymous asked it to stop: too slow." in explain(api, job)["summary"]
    hand.cancelled(job)
    assert explain(api, job)["summary"].startswith("user:anonymous cancelled it while it ran, at ")
    assert explain(api, job)["summary"].endswith(": too slow.")


def test_a_long_story_is_cut_to_the_newest(api: LiveApi, hand: Hand) -> None:
    job = hand.submit(queue="long")
    for _ in range(20):
        hand.start(job, queue="long")
        hand.retry(job)
    cut = explain(api, job)
    assert len(cut["because"]) == 50
    project(api.settings)
    assert explain(api, job)["because"] == cut["because"]


def test_an_unknown_job_is_404(api: LiveApi) -> None:
    assert api.http.get(f"/api/v1/jobs/{uuid.uuid4()}/explain").status_code == 404


def test_without_the_index_the_log_tells(module_settings: Settings, hand: Hand) -> None:
    away = msgspec.structs.replace(
        module_settings, database_url="postgresql://triton@127.0.0.1:1/triton?connect_timeout=1"
    )
    job = hand.submit(queue="alone")
    with LiveApi(away) as api:
        assert texts(explain(api, job)) == ["user:test submitted it."]
