"""Many jobs in one call: a receipt for each, all or nothing by the check, complete after a repeat."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest
import redis
from live_api import Hand, LiveApi, log_events, project

from triton import keys
from triton.bulk import MAX_CHUNK_BYTES, waves
from triton.events.scripts import CHUNK
from triton.settings import Settings
from triton.submit import Caller, message_for, submission_of

BULK = "/api/v1/jobs/bulk"
BAD = [
    {"actor": "work", "options": {"priority": 5000}},
    {"actor": "", "args": 1},
    {"actor": "bell\u0007"},
]


def send(api: LiveApi, jobs: list[Any], mode: str = "all", key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api.http.post(BULK, json={"jobs": jobs, "mode": mode}, headers=headers)


def statuses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    receipts = answer.json()["jobs"]
    assert [receipt["index"] for receipt in receipts] == list(range(len(receipts)))
    return [receipt["status"] for receipt in receipts]


def waiting(hand: Hand, queue: str) -> int:
    return int(hand.client.zcard(keys.ready(hand.prefix(""), queue)))


def test_every_job_of_a_call_runs_and_has_its_receipt(api: LiveApi, hand: Hand) -> None:
    """More than one chunk, in the order of the call."""
    jobs = [{"actor": "work", "args": [n], "queue": "many"} for n in range(2 * CHUNK + 7)]
    answer = send(api, jobs)
    assert set(statuses(answer)) == {"accepted"}
    ids = [receipt["id"] for receipt in answer.json()["jobs"]]
    assert len(set(ids)) == waiting(hand, "many") == len(jobs)
    assert json.loads(hand.start(ids[0], queue="many").body)["args"] == [0]
    assert api.http.get(f"/api/v1/jobs/{ids[-1]}").json()["args"] == [len(jobs) - 1]


def test_in_mode_all_one_bad_job_stops_all_and_each_is_named(api: LiveApi, hand: Hand) -> None:
    good = {"actor": "work", "queue": "all"}
    answer = send(api, [good, BAD[0], good, BAD[1], BAD[2]])
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "validation"
    assert problem["details"]["rejected"] == 3
    assert [item["index"] for item in problem["details"]["items"]] == [1, 3, 4]
    assert [field["field"] for field in problem["details"]["fields"]] == [
        "jobs[1].options.priority",
        "jobs[3].actor",
        "jobs[3].args",
        "jobs[4].actor",
    ]
    assert "none was submitted" in problem["message"]
    assert waiting(hand, "all") == 0


def test_in_mode_partial_the_good_ones_go(api: LiveApi, hand: Hand) -> None:
    answer = send(api, [BAD[0], {"actor": "work", "queue": "partial"}, BAD[1]], "partial")
    assert statuses(answer) == ["rejected", "accepted", "rejected"]
    reply = answer.json()
    assert (reply["accepted"], reply["existing"], reply["rejected"]) == (1, 0, 2)
    assert reply["jobs"][0]["error"]["fields"][0]["field"] == "options.priority"
    assert reply["jobs"][0]["error"]["code"] == "validation"
    assert waiting(hand, "partial") == 1


def test_a_key_is_one_job_within_a_call_across_calls_and_with_a_single_submit(api: LiveApi) -> None:
    job = {"actor": "once", "idempotency_key": "bulk-1"}
    first = send(api, [job, job])
    assert statuses(first) == ["accepted", "exists"]
    assert statuses(send(api, [job])) == ["exists"]
    single = api.http.post(
        "/api/v1/jobs", json={"actor": "once"}, headers={"Idempotency-Key": "bulk-1"}
    ).json()
    assert (single["id"], single["existing"]) == (first.json()["jobs"][0]["id"], True)
    other = {**job, "options": {"tenant": "another"}}
    assert statuses(send(api, [other])) == ["accepted"]


def test_a_call_that_broke_off_is_completed_by_the_same_call(api: LiveApi, hand: Hand) -> None:
    jobs = [{"actor": "work", "args": [n], "queue": "again"} for n in range(3 * CHUNK)]
    ids = [receipt["id"] for receipt in send(api, jobs, key="day 1").json()["jobs"]]
    # As after a server that died midway: the second half was never submitted.
    lost = ids[len(ids) // 2 :]
    hand.client.delete(*(keys.job(hand.prefix(job), job) for job in lost))
    hand.client.zrem(keys.ready(hand.prefix(""), "again"), *lost)
    again = send(api, jobs, key="day 1")
    assert statuses(again) == ["exists"] * (len(ids) // 2) + ["accepted"] * len(lost)
    assert [receipt["id"] for receipt in again.json()["jobs"]] == ids
    assert waiting(hand, "again") == len(jobs)
    assert set(statuses(send(api, jobs[:3], key="day 2"))) == {"accepted"}


def test_a_key_is_remembered_when_the_head_left_redis(api: LiveApi, hand: Hand) -> None:
    (receipt,) = send(api, [{"actor": "once"}], key="long ago").json()["jobs"]
    hand.run(receipt["id"])
    project(api.settings)
    hand.client.delete(keys.job(hand.prefix(""), receipt["id"]))
    assert statuses(send(api, [{"actor": "once"}], key="long ago")) == ["exists"]
    assert len(log_events(api.settings, receipt["id"])) == 4


def test_the_limits_are_named(api: LiveApi) -> None:
    answer = send(api, [{"actor": "work"}] * 10_001)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["details"] == {"max_jobs": 10_000}
    body = b'{"jobs": [' + b" " * (32 * 1024 * 1024) + b"]}"
    answer = api.http.post(BULK, content=body)
    assert (answer.status_code, answer.json()["details"]) == (413, {"max_bytes": 33_554_432})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b'{"jobs": [{]}', 400),
        (b'{"jobs": []}', 422),
        (b'{"jobs": [{"actor": "a"}], "mode": "some"}', 422),
        (b'{"jobs": [1]}', 422),
        (b'{"jobs": [{"actor": "\xff"}]}', 422),
        (b'{"jobs": [{"actor": "a", "args": [' + b"[" * 2000 + b"]" * 2000 + b"]}]}", 400),
    ],
)
def test_a_call_that_does_not_fit(api: LiveApi, body: bytes, status: int) -> None:
    answer = api.http.post(BULK, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"code", "message", "details", "request_id"}


def test_a_redis_that_is_away_says_how_to_go_on(api: LiveApi, hand: Hand) -> None:
    """The second chunk is refused: what the first submitted is not lost, and is not submitted twice."""
    jobs = [{"actor": "work", "args": ["x" * 100], "queue": "full"} for _ in range(CHUNK + 1)]
    ids = [job["id"] for job in send(api, jobs, key="full").json()["jobs"]]
    hand.client.delete(keys.job(hand.prefix(""), ids[-1]))
    hand.client.config_set("maxmemory", "1mb")
    try:
        answer = send(api, jobs, key="full")
    finally:
        hand.client.config_set("maxmemory", "0")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "same Idempotency-Key" in answer.json()["message"]
    assert statuses(send(api, jobs, key="full")).count("accepted") == 1


def test_chunks_are_small_and_each_wave_has_one_for_each_partition() -> None:
    submissions = [
        submission_of(
            message_for(job=f"job-{n}", at_ms=1, actor="a", args=["x" * (n % 5) * 20_000]),
            Caller("t"),
        )
        for n in range(1500)
    ]
    seen: list[int] = []
    for wave in waves(submissions, 3):
        assert len({partition for partition, _ in wave}) == len(wave)
        for partition, chunk in wave:
            bodies = [len(submissions[place].body) for place in chunk]
            assert len(chunk) <= CHUNK
            assert sum(bodies) <= MAX_CHUNK_BYTES
            assert {keys.partition_of(submissions[p].job, 3) for p in chunk} == {partition}
            seen += chunk
    assert sorted(seen) == list(range(1500))
    (first, *_), *_ = waves(submissions[:1], 1)
    assert first == (0, [0])


def test_several_partitions(module_settings: Settings) -> None:
    settings = msgspec.structs.replace(
        module_settings, namespace=module_settings.namespace + "p", partitions=3
    )
    with LiveApi(settings) as api, redis.Redis.from_url(settings.redis_url) as client:
        answer = send(api, [{"actor": "work", "args": [n]} for n in range(50)])
        assert set(statuses(answer)) == {"accepted"}
        ready = [
            client.zcard(keys.ready(keys.prefix(settings.namespace, p), "default"))
            for p in range(3)
        ]
        assert sum(ready) == 50
        assert all(ready)
