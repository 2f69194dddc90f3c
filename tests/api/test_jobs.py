"""Submitting, reading, listing, cancelling and requeuing over HTTP."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from live_api import Hand, LiveApi, log_events, project

from stored_message import replace_message
from triton import keys
from triton.settings import Settings
from triton.signature import encode, signature_of

JOBS = "/api/v1/jobs"


def submit(api: LiveApi, **changes: Any) -> dict[str, Any]:
    answer = api.http.post(JOBS, json={"actor": "work", **changes})
    assert answer.status_code == 202, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def test_a_submitted_job_is_found_at_once_without_any_projector(api: LiveApi) -> None:
    answer = api.http.post(
        JOBS,
        json={
            "actor": "mail.send",
            "args": [1, "two", None],
            "kwargs": {"to": "a\u2028b"},
            "queue": "mails",
            "options": {"priority": -5, "correlation": "order 7", "max_retries": 2},
        },
        headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    )
    assert answer.status_code == 202
    reply = answer.json()
    assert answer.headers["location"] == reply["links"]["self"] == f"{JOBS}/{reply['id']}"
    assert reply["existing"] is False
    view = api.http.get(answer.headers["location"]).json()
    assert view["id"] == reply["id"]
    assert view["state"] == reply["state"] == "pending"
    assert (view["actor"], view["queue"], view["tenant"]) == ("mail.send", "mails", "default")
    assert (view["args"], view["kwargs"]) == ([1, "two", None], {"to": "a\u2028b"})
    assert (view["priority"], view["correlation"], view["by"]) == (-5, "order 7", "user:anonymous")
    assert view["started_at"] is view["finished_at"] is view["due_at"] is None
    assert datetime.fromisoformat(view["submitted_at"]).tzinfo is not None
    assert view["version"] == 1


def test_nobody_has_a_webhook_signed_by_submitting_its_delivery(api: LiveApi) -> None:
    wanted = {"actor": "webhooks.deliver", "kwargs": {"target": "t", "event": "e", "payload": {}}}
    refused = api.http.post("/api/v1/jobs", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation")
    many = api.http.post("/api/v1/jobs/bulk", json={"jobs": [wanted], "mode": "partial"}).json()
    assert (many["accepted"], many["rejected"]) == (0, 1)


def test_what_a_worker_gets_is_a_plain_dramatiq_message(api: LiveApi, hand: Hand) -> None:
    reply = submit(
        api, args=[1], kwargs={"a": 2}, options={"max_retries": 7, "tenant": "acme", "priority": 3}
    )
    found = hand.start(reply["id"])
    body = json.loads(found.body)
    assert body["message_id"] == reply["id"]
    assert (body["actor_name"], body["queue_name"]) == ("work", "default")
    assert (body["args"], body["kwargs"]) == ([1], {"a": 2})
    assert body["options"] == {"max_retries": 7}
    assert found.tenant == "acme"


def test_the_view_of_a_completed_job_keeps_its_arguments(api: LiveApi, hand: Hand) -> None:
    """From the log until the row is there, however many events of others lie between."""
    job = submit(api, args=["kept"])["id"]
    noisy = hand.submit(queue="noise")
    hand.start(noisy, queue="noise")
    hand.output(noisy, *("noise" for _ in range(1200)))
    hand.run(job, {"answer": 42})
    shown = []
    for _ in range(2):
        view = api.http.get(f"{JOBS}/{job}").json()
        shown.append((view["state"], view["result"], view["args"]))
        project(api.settings)
    assert shown == [("completed", {"answer": 42}, ["kept"])] * 2


def test_an_id_with_slashes_and_percents_is_reached_by_every_route(
    api: LiveApi, hand: Hand
) -> None:
    odd, plain = "orders/7%2F of\u00fc/", "orders"
    for job in (odd, plain):
        hand.submit(job, job=job, queue="odd")
    home = f"{JOBS}/{quote(odd, safe='')}"
    view = api.http.get(home).json()
    assert (view["id"], view["args"]) == (odd, [odd])
    assert view["links"]["self"] == home
    assert api.http.get(view["links"]["events"]).json()["events"][0]["subject"] == odd
    assert api.http.get(f"{home}/explain").json()["job"] == odd
    assert api.http.post(f"{home}/cancel", json={"reason": "a test"}).json()["state"] == "cancelled"
    assert api.http.post(f"{home}/requeue", json={"reason": "a test"}).json()["state"] == "pending"
    with api.http.stream("GET", view["links"]["subscribe"]) as stream:
        assert any(line == "event: triton.hello" for line in stream.iter_lines())
    assert api.http.get(f"{JOBS}/{plain}").json()["id"] == plain
    assert api.http.get(f"{JOBS}/orders/7").status_code == 404
    assert api.http.get(f"{JOBS}/orders%2F8").status_code == 404


def test_the_row_and_the_head_look_the_same(api: LiveApi, hand: Hand) -> None:
    job = submit(api, args=["same"], options={"correlation": "c"})["id"]
    hand.start(job)
    hand.progress(job, 12.5, "stage")
    hand.fail(job, "broken")
    project(api.settings)
    from_head = api.http.get(f"{JOBS}/{job}").json()
    hand.client.delete(keys.job(hand.prefix(job), job))
    from_row = api.http.get(f"{JOBS}/{job}").json()
    assert from_row == from_head
    assert from_row["error"] == {"type": "ValueError", "message": "broken", "traceback": ""}


def test_the_same_idempotency_key_is_the_same_job(api: LiveApi) -> None:
    body = {"actor": "once", "args": [1]}
    headers = {"Idempotency-Key": "order-1"}
    first, second = (api.http.post(JOBS, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert (first.json()["existing"], second.json()["existing"]) == (False, True)
    other = {**body, "options": {"tenant": "another"}}
    assert api.http.post(JOBS, json=other, headers=headers).json()["id"] != first.json()["id"]
    assert len(log_events(api.settings, first.json()["id"])) == 1


def test_a_storm_of_one_key_is_one_job(api: LiveApi) -> None:
    replies: list[dict[str, Any]] = []

    def send() -> None:
        headers = {"Idempotency-Key": "storm"}
        replies.append(api.http.post(JOBS, json={"actor": "once"}, headers=headers).json())

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({reply["id"] for reply in replies}) == 1
    assert sorted(reply["existing"] for reply in replies) == [False] + [True] * 7
    assert len(log_events(api.settings, replies[0]["id"])) == 1


def test_a_key_is_remembered_when_the_head_left_redis(api: LiveApi, hand: Hand) -> None:
    headers = {"Idempotency-Key": "long ago"}
    job = api.http.post(JOBS, json={"actor": "once"}, headers=headers).json()["id"]
    hand.run(job)
    project(api.settings)
    hand.client.delete(keys.job(hand.prefix(job), job))
    again = api.http.post(JOBS, json={"actor": "once"}, headers=headers).json()
    assert (again["id"], again["existing"], again["state"]) == (job, True, "completed")
    assert len(log_events(api.settings, job)) == 4


def test_a_delayed_job_is_scheduled_by_the_log_s_clock(api: LiveApi) -> None:
    job = submit(api, options={"delay_ms": 60_000})
    view = api.http.get(f"{JOBS}/{job['id']}").json()
    assert job["state"] == view["state"] == "scheduled"
    due, submitted = (datetime.fromisoformat(view[f]) for f in ("due_at", "submitted_at"))
    assert due - submitted == timedelta(minutes=1)


def test_without_a_queue_a_job_goes_where_its_actor_s_workers_listen(
    api: LiveApi, hand: Hand
) -> None:
    assert submit(api, actor="documents.extract")["queue"] == "documents"
    assert submit(api, actor="nobody.knows")["queue"] == "default"
    hand.client.hset(hand.prefix("") + "actors", "known.actor", "its-queue")
    assert submit(api, actor="known.actor")["queue"] == "its-queue"
    assert submit(api, actor="known.actor", queue="mine")["queue"] == "mine"


def test_arguments_that_do_not_fit_the_actor_are_refused_field_by_field(
    api: LiveApi, hand: Hand
) -> None:
    """Its workers said what it takes; alone and in bulk, whatever the queue."""
    taken = encode(signature_of(lambda x, *, y=0: None))
    hand.client.hset(hand.prefix("") + "signatures", "fitted.actor", taken)
    wrong = {"actor": "fitted.actor", "queue": "mine", "kwargs": {"z": 1}}
    answer = api.http.post(JOBS, json=wrong)
    assert answer.status_code == 422
    assert answer.json()["details"]["fields"] == [
        {"field": "kwargs.x", "message": "is required"},
        {"field": "kwargs.z", "message": "is not known; known are x, y"},
    ]
    bulk = {"jobs": [wrong, {"actor": "fitted.actor", "args": [1]}], "mode": "partial"}
    receipts = api.http.post(f"{JOBS}/bulk", json=bulk).json()["jobs"]
    assert [receipt["status"] for receipt in receipts] == ["rejected", "accepted"]


def test_cancel_ends_what_waits_and_asks_what_runs(api: LiveApi, hand: Hand) -> None:
    waiting = submit(api)["id"]
    answer = api.http.post(f"{JOBS}/{waiting}/cancel", json={"reason": "changed my mind"})
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["reason"]) == ("cancelled", "changed my mind")
    running = submit(api)["id"]
    hand.start(running)
    answer = api.http.post(f"{JOBS}/{running}/cancel", json={"reason": "a test"})
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("processing", True)
    assert api.http.post(f"{JOBS}/{running}/cancel", json={"reason": "a test"}).status_code == 202
    hand.cancelled(running)
    for job in (waiting, running):
        answer = api.http.post(f"{JOBS}/{job}/cancel", json={"reason": "a test"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (
        api.http.post(f"{JOBS}/{uuid.uuid4()}/cancel", json={"reason": "a test"}).status_code == 404
    )
    types = [event.type for event in log_events(api.settings, running)]
    assert types == ["job.submitted", "job.started", "job.cancel_requested", "job.cancelled"]


def test_requeue_begins_another_life_with_the_retry_policy_anew(api: LiveApi, hand: Hand) -> None:
    job = submit(api, args=["again"], options={"max_retries": 1})["id"]
    found = hand.start(job)
    message = json.loads(found.body)
    message["options"] |= {"retries": 1, "traceback": "...", "requeue_timestamp": 5, "eta": 1}
    prefix = hand.prefix(job)
    hand.fail(job)
    replace_message(hand.client, prefix, job, json.dumps(message).encode())
    answer = api.http.post(f"{JOBS}/{job}/requeue", json={"reason": "fixed"})
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert json.loads(hand.start(job).body)["options"] == {"max_retries": 1}
    assert api.http.post(f"{JOBS}/{job}/requeue", json={"reason": "a test"}).status_code == 409
    hand.complete(job)
    assert api.http.post(f"{JOBS}/{job}/requeue", json={"reason": "a test"}).status_code == 409
    assert (
        api.http.post(f"{JOBS}/{uuid.uuid4()}/requeue", json={"reason": "a test"}).status_code
        == 404
    )


def test_history_is_complete_with_and_without_the_index_and_pages_by_version(
    api: LiveApi, hand: Hand
) -> None:
    job = submit(api)["id"]
    hand.start(job)
    hand.output(job, *(f"{n}" for n in range(30)))
    for round_ in range(3):
        expected = log_events(api.settings, job)
        pages, after = [], 0
        while True:
            page = api.http.get(
                f"{JOBS}/{job}/events", params={"after_version": after, "limit": 7}
            ).json()
            pages += page["events"]
            if page["next"] is None:
                break
            after = page["next"]
        assert [e["version"] for e in pages] == [e.version for e in expected]
        assert [e["type"] for e in pages] == [e.type for e in expected]
        if round_ == 0:
            project(api.settings)
            hand.output(job, "after the projector came")
        elif round_ == 1:
            hand.complete(job)
            project(api.settings)
    assert api.http.get(f"{JOBS}/nobody/events").status_code == 404
    past = api.http.get(f"{JOBS}/{job}/events", params={"after_version": 10**6}).json()
    assert past == {"events": [], "next": None}


@pytest.fixture(scope="module")
def listed(api: LiveApi, hand: Hand) -> list[str]:
    """Twelve jobs of one tenant, oldest first, in several states."""
    jobs = [
        hand.submit(n, tenant="lister", queue=f"q{n % 2}", actor=f"a{n % 3}") for n in range(12)
    ]
    for job in jobs[:4:2]:
        hand.start(job, queue="q0")
        hand.complete(job)
    project(api.settings)
    return jobs


def ids(api: LiveApi, **params: Any) -> list[str]:
    answer = api.http.get(JOBS, params={"tenant": "lister", **params})
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_a_list_is_newest_first_and_every_filter_filters(api: LiveApi, listed: list[str]) -> None:
    newest = listed[::-1]
    assert ids(api) == newest
    assert ids(api, queue="q1") == [j for n, j in reversed(list(enumerate(listed))) if n % 2]
    assert ids(api, actor="a0", queue="q0") == [listed[6], listed[0]]
    assert ids(api, status="completed") == [listed[2], listed[0]]
    assert ids(api, status=["completed", "pending"]) == newest
    assert ids(api, tenant="nobody") == []
    middle = api.http.get(f"{JOBS}/{listed[5]}").json()["submitted_at"]
    assert ids(api, submitted_after=middle) == newest[:7]
    assert ids(api, submitted_before=middle) == newest[7:]


def test_pages_are_complete_without_doubles_while_jobs_are_added(
    api: LiveApi, hand: Hand, module_settings: Settings
) -> None:
    before = [hand.submit(n, tenant="pager") for n in range(11)]
    project(module_settings)
    seen: list[str] = []
    params: dict[str, Any] = {"tenant": "pager", "limit": 3}
    while True:
        page = api.http.get(JOBS, params=params).json()
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        params["next"] = page["next"]
        hand.submit("added meanwhile", tenant="pager")
        project(module_settings)
    assert seen == before[::-1]


def test_jobs_of_one_microsecond_are_paged_by_id(
    api: LiveApi, hand: Hand, module_settings: Settings
) -> None:
    import psycopg

    jobs = sorted(hand.submit(n, tenant="instant") for n in range(5))
    project(module_settings)
    with psycopg.connect(module_settings.database_url) as connection:
        connection.execute(
            "UPDATE job_submissions SET submitted_at = '2026-01-01Z' WHERE tenant = 'instant'"
        )
    seen, params = [], {"tenant": "instant", "limit": "2"}
    while True:
        page = api.http.get(JOBS, params=params).json()
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        params["next"] = page["next"]
    assert seen == jobs[::-1]


def test_a_person_says_why(api: LiveApi, hand: Hand) -> None:
    job = hand.submit(1)
    for body in (None, {}, {"reason": " \n"}):
        answer = api.http.post(f"{JOBS}/{job}/cancel", json=body)
        assert answer.status_code == 422
        assert answer.json()["message"].startswith(
            'reason is missing or empty: say why as {"reason": "..."} in the JSON body'
        )
        assert answer.json()["details"]["fields"][0]["field"] == "reason"
    assert api.http.get(f"{JOBS}/{job}").json()["state"] == "pending"
    assert api.http.post(f"{JOBS}/{job}/requeue", json={}).status_code == 422


def test_a_job_that_did_not_change_is_304_and_one_that_did_is_sent(
    api: LiveApi, hand: Hand
) -> None:
    job = hand.submit("tagged", queue="tags")
    for path in (f"/api/v1/jobs/{job}", "/api/v1/jobs?queue=tags"):
        project(api.settings)
        first = api.http.get(path)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        for given in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            again = api.http.get(path, headers={"If-None-Match": given})
            assert (again.status_code, again.content) == (304, b""), given
            assert again.headers["etag"] == tag
        assert api.http.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
        hand.start(job, queue="tags") if path.endswith(job) else hand.complete(job)
        project(api.settings)
        changed = api.http.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
