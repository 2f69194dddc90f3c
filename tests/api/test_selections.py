"""Requeue and cancel of all jobs of a filter: never another set than the dry run saw, each job once."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import msgspec
import pytest
from live_api import Hand, LiveApi, log_events, project

from stored_message import message_of, replace_message
from triton import keys, migrate
from triton.api import selection
from triton.errors import ConflictError, ValidationError
from triton.settings import Settings

JOBS = "/api/v1/jobs"


@pytest.fixture
def tenant() -> str:
    """One for each test, so that the tests do not see one another's jobs."""
    return uuid.uuid4().hex


def post(api: LiveApi, action: str, **body: Any) -> httpx.Response:
    return api.http.post(f"{JOBS}/{action}", json=body)


def dry(api: LiveApi, action: str, **chosen: Any) -> dict[str, Any]:
    answer = post(api, action, filter=chosen, dry_run=True)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def act(api: LiveApi, action: str, token: str, **more: Any) -> dict[str, Any]:
    answer = post(api, action, token=token, **{"reason": "a test", **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def failed(hand: Hand, tenant: str, count: int = 1, **options: Any) -> list[str]:
    jobs = []
    for number in range(count):
        job = hand.submit(number, tenant=tenant, queue=tenant, **options)
        hand.start(job, queue=tenant)
        hand.fail(job)
        jobs.append(job)
    return jobs


def state(api: LiveApi, job: str) -> str:
    return str(api.http.get(f"{JOBS}/{job}").json()["state"])


def test_a_dry_run_counts_and_shows_and_does_nothing(api: LiveApi, hand: Hand, tenant: str) -> None:
    jobs = failed(hand, tenant, 12)
    hand.run(hand.submit(tenant=tenant))
    project(api.settings)
    found = dry(api, "requeue", tenant=tenant)
    assert (found["count"], found["by_state"]) == (12, {"failed": 12})
    assert [one["id"] for one in found["sample"]] == jobs[::-1][:10]
    assert found["sample"][0]["error"] == "ValueError"
    assert {state(api, job) for job in jobs} == {"failed"}
    assert dry(api, "requeue", tenant=tenant, error="Other")["count"] == 0
    assert dry(api, "requeue", tenant=tenant, actor="work", reason="error")["count"] == 12
    assert dry(api, "requeue", tenant=tenant, status=["cancelled"])["count"] == 0
    ended = api.http.get(f"{JOBS}/{jobs[4]}").json()["finished_at"]
    assert dry(api, "requeue", tenant=tenant, ended_after=ended)["count"] == 8
    assert dry(api, "requeue", tenant=tenant, ended_before=ended)["count"] == 4


def test_the_reason_is_in_every_event_and_the_retries_begin_anew(
    api: LiveApi, hand: Hand, tenant: str
) -> None:
    (job,) = failed(hand, tenant, options={"max_retries": 1})
    message = json.loads(message_of(hand.client, hand.prefix(job), job))
    message["options"] |= {"retries": 1, "traceback": "..."}
    replace_message(hand.client, hand.prefix(job), job, json.dumps(message).encode())
    project(api.settings)
    done = act(
        api, "requeue", dry(api, "requeue", tenant=tenant)["token"], reason="upstream is back"
    )
    assert (done["count"], done["done"], done["skipped"], done["next"]) == (1, 1, 0, None)
    last = log_events(api.settings, job)[-1]
    assert (last.type, last.data.reason, last.by) == (
        "job.requeued",
        "upstream is back",
        "user:anonymous",
    )
    assert json.loads(hand.start(job, queue=tenant).body)["options"] == {"max_retries": 1}


def test_page_by_page_each_job_once(api: LiveApi, hand: Hand, tenant: str) -> None:
    jobs = failed(hand, tenant, 6)
    project(api.settings)
    token, done, calls = dry(api, "requeue", tenant=tenant)["token"], 0, 0
    while token is not None:
        answer = act(api, "requeue", token, limit=3)
        done += answer["done"]
        calls += 1
        token = answer["next"]
    assert (done, calls) == (6, 2)
    for job in jobs:
        assert [e.type for e in log_events(api.settings, job)].count("job.requeued") == 1


def test_a_repeated_call_requeues_nothing_twice_however_far_behind_the_view_is(
    api: LiveApi, hand: Hand, tenant: str
) -> None:
    """As after a lost reply: and one job has even failed once more since."""
    again, waiting = failed(hand, tenant, 2)
    project(api.settings)
    token = dry(api, "requeue", tenant=tenant)["token"]
    assert act(api, "requeue", token)["done"] == 2
    hand.start(again, queue=tenant)
    hand.fail(again)
    for _ in range(2):
        repeated = act(api, "requeue", token)
        assert repeated["done"] == 0
        project(api.settings)
    assert (state(api, again), state(api, waiting)) == ("failed", "pending")


def test_only_what_the_dry_run_saw_is_requeued(api: LiveApi, hand: Hand, tenant: str) -> None:
    seen, requeued_by_another, cancelled_since = failed(hand, tenant, 3)
    project(api.settings)
    found = dry(api, "requeue", tenant=tenant, status=["failed", "cancelled"])
    (later,) = failed(hand, tenant)
    for job in (requeued_by_another, cancelled_since):
        api.http.post(f"{JOBS}/{job}/requeue", json={"reason": "a test"})
    api.http.post(f"{JOBS}/{cancelled_since}/cancel", json={"reason": "a test"})
    before = act(api, "requeue", found["token"], limit=1)
    assert (before["count"], before["done"]) == (3, 1)
    rest = act(api, "requeue", before["next"])
    assert {skip["id"]: skip["why"] for skip in rest["skips"]} == {
        requeued_by_another: "changed",
        cancelled_since: "changed",
    }
    project(api.settings)
    assert act(api, "requeue", found["token"])["done"] == 0
    assert [state(api, job) for job in (seen, requeued_by_another, cancelled_since, later)] == [
        "pending",
        "pending",
        "cancelled",
        "failed",
    ]


def test_a_job_whose_head_or_message_is_gone_is_made_of_its_history(
    api: LiveApi, hand: Hand, tenant: str
) -> None:
    gone, bodiless = failed(hand, tenant, 2)
    project(api.settings)
    hand.client.delete(keys.job(hand.prefix(gone), gone))
    replace_message(hand.client, hand.prefix(bodiless), bodiless, None)
    done = act(api, "requeue", dry(api, "requeue", tenant=tenant)["token"])
    assert (done["done"], done["skipped"]) == (2, 0)
    assert [hand.start(job, queue=tenant).attempt for job in (gone, bodiless)] == [2, 2]


def test_a_job_whose_unique_key_is_another_s_by_now_is_named(
    api: LiveApi, hand: Hand, tenant: str
) -> None:
    options = {"tenant": tenant, "unique": {"key": "one at a time"}}
    body = {"actor": "work", "queue": tenant, "options": options}
    first = api.http.post(JOBS, json=body).json()["id"]
    hand.start(first, queue=tenant)
    hand.fail(first)
    second = api.http.post(JOBS, json=body).json()["id"]
    assert second != first
    project(api.settings)
    done = act(api, "requeue", dry(api, "requeue", tenant=tenant)["token"])
    assert (done["done"], done["skips"]) == (0, [{"id": first, "why": "held"}])
    alone = api.http.post(f"{JOBS}/{first}/requeue", json={"reason": "a test"})
    assert (alone.status_code, alone.json()["code"]) == (409, "conflict")
    assert "unique key" in alone.json()["message"]
    api.http.post(f"{JOBS}/{second}/cancel", json={"reason": "a test"})
    assert api.http.post(f"{JOBS}/{first}/requeue", json={"reason": "a test"}).status_code == 202


def test_cancel_ends_what_waits_and_asks_what_runs(api: LiveApi, hand: Hand, tenant: str) -> None:
    jobs = [hand.submit(n, tenant=tenant, queue=tenant) for n in range(4)]
    hand.start(jobs[0], queue=tenant)
    project(api.settings)
    found = dry(api, "cancel", tenant=tenant)
    assert found["by_state"] == {"processing": 1, "pending": 3}
    # A job that goes on in its life is still the one that was seen.
    hand.progress(jobs[0], 50)
    hand.start(jobs[1], queue=tenant)
    hand.complete(jobs[1])
    later = hand.submit(tenant=tenant, queue=tenant)
    project(api.settings)
    done = act(api, "cancel", found["token"], reason="wrong input")
    assert (done["count"], done["done"], done["skipped"]) == (4, 3, 0)
    assert [state(api, job) for job in jobs] == [
        "processing",
        "completed",
        "cancelled",
        "cancelled",
    ]
    assert api.http.get(f"{JOBS}/{jobs[0]}").json()["cancel_requested"] is True
    assert state(api, later) == "pending"
    assert log_events(api.settings, jobs[2])[-1].data.reason == "wrong input"


def test_cancel_of_waiting_jobs_leaves_those_that_started_since(
    api: LiveApi, hand: Hand, tenant: str
) -> None:
    waiting, started = (hand.submit(n, tenant=tenant, queue=tenant + str(n)) for n in range(2))
    project(api.settings)
    found = dry(api, "cancel", tenant=tenant, status=["pending"])
    hand.start(started, queue=tenant + "1")
    done = act(api, "cancel", found["token"])
    assert done["done"] == 1
    assert done["skips"] == [{"id": started, "why": "changed"}]
    assert (state(api, waiting), state(api, started)) == ("cancelled", "processing")


def test_several_partitions_each_have_their_own_positions(
    module_settings: Settings, database_url: str, tenant: str
) -> None:
    migrate.up(database_url)
    settings = msgspec.structs.replace(
        module_settings,
        namespace=module_settings.namespace + "p",
        partitions=3,
        database_url=database_url,
    )
    with LiveApi(settings) as api:
        hand = Hand(settings.redis_url, settings.namespace, partitions=3)
        # Many events before, so that a position of this partition means nothing in another.
        for n in range(30):
            hand.submit(n, job=f"before-{n}", queue="none")
        jobs = failed(hand, tenant, 8)
        while len({keys.partition_of(job, 3) for job in jobs}) == 1:
            jobs += failed(hand, tenant)
        project(settings, partitions=(0, 1, 2))
        found = dry(api, "requeue", tenant=tenant)
        (later,) = failed(hand, tenant)
        project(settings, partitions=(0, 1, 2))
        assert act(api, "requeue", found["token"])["done"] == found["count"] == len(jobs)
        assert (state(api, jobs[0]), state(api, later)) == ("pending", "failed")


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("requeue", {}, "token"),
        ("requeue", {"filter": {}}, "dry_run"),
        ("requeue", {"filter": {}, "token": "x"}, "token"),
        ("requeue", {"token": "x"}, "token"),
        ("requeue", {"token": "W10"}, "token"),
        ("requeue", {"filter": {"status": ["pending"]}, "dry_run": True}, "filter.status"),
        ("cancel", {"filter": {"status": ["failed"]}, "dry_run": True}, "filter.status"),
        ("cancel", {"filter": {"status": ["odd"]}, "dry_run": True}, "filter.status[0]"),
        ("cancel", {"filter": {"shoe": 1}, "dry_run": True}, "filter.shoe"),
        ("cancel", {"filter": {"queue": "\x00"}, "dry_run": True}, "filter.queue"),
        (
            "cancel",
            {"filter": {"submitted_after": "2026-01-01T00:00:00"}, "dry_run": True},
            "filter.submitted_after",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    api: LiveApi, action: str, body: dict[str, Any], field: str
) -> None:
    answer = post(api, action, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation"), answer.text
    assert [one["field"] for one in answer.json()["details"]["fields"]] == [field]


def test_a_token_is_for_its_action_and_its_log_only(api: LiveApi) -> None:
    token = dry(api, "requeue", tenant="nobody")["token"]
    assert act(api, "requeue", token)["done"] == 0
    answer = post(api, "cancel", token=token)
    assert "of a dry run of requeue" in answer.json()["message"]
    with pytest.raises(ConflictError, match="log was replaced"):
        selection.read(token, "requeue", ["another epoch"])
    with pytest.raises(ValidationError):
        selection.read(token[:-3], "requeue", ["x"])
    written = selection.Token(
        action="cancel",
        filter=selection.JobFilter(actor="a"),
        positions=[3],
        epochs=selection.digest(["e"]),
        count=1,
        op="o",
    )
    assert selection.read(selection.write(written), "cancel", ["e"]) == written
    assert msgspec.structs.asdict(written)["after"] is None
