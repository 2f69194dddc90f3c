"""Failed jobs as a view: complete, filtered, counted, and gone when a job is requeued."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from live_api import Hand, LiveApi, project

from triton.settings import Settings

DEAD = "/api/v1/dead-letters"


@pytest.fixture(scope="module")
def failed(api: LiveApi, hand: Hand) -> list[str]:
    """Eight failed jobs, the first failed first; half are known from one batch, half from a later one."""
    jobs = []
    for n in range(8):
        job = hand.submit(n, actor=f"a{n % 2}", queue=f"q{n % 2}", tenant="dead")
        hand.start(job, queue=f"q{n % 2}")
        if n == 7:
            hand.died(job)
        else:
            hand.fail(job, f"no {n}", kind=f"Error{n % 4}")
        jobs.append(job)
        if n == 3:
            project(api.settings)
    hand.run(hand.submit(tenant="dead"))
    hand.submit(tenant="dead")
    project(api.settings)
    return jobs


def get(api: LiveApi, path: str = "", **params: Any) -> dict[str, Any]:
    answer = api.http.get(DEAD + path, params={"tenant": "dead", **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(api: LiveApi, **params: Any) -> list[str]:
    return [letter["id"] for letter in get(api, **params)["dead_letters"]]


def test_the_last_failed_is_first_and_every_filter_filters(api: LiveApi, failed: list[str]) -> None:
    newest = failed[::-1]
    assert ids(api) == newest
    assert ids(api, actor="a1") == newest[::2]
    assert ids(api, queue="q0") == newest[1::2]
    assert ids(api, error="Error2") == [failed[6], failed[2]]
    assert ids(api, error="Error2", actor="a1") == []
    assert ids(api, reason="died") == [failed[7]]
    assert ids(api, tenant="nobody") == []
    middle = get(api)["dead_letters"][4]["failed_at"]
    assert ids(api, failed_after=middle) == newest[:5]
    assert ids(api, failed_before=middle) == newest[5:]


def test_a_letter_says_what_it_failed_of(api: LiveApi, failed: list[str]) -> None:
    died, raised, *_ = get(api)["dead_letters"]
    assert (died["error"], died["reason"], died["message"]) == ("WorkerDied", "died", "4 leases")
    assert (raised["error"], raised["reason"], raised["message"]) == ("Error2", "error", "no 6")
    assert raised["attempt"] == 1
    view = api.http.get(raised["links"]["self"]).json()
    assert (view["finished_at"], view["submitted_at"]) == (
        raised["failed_at"],
        raised["submitted_at"],
    )


def test_pages_are_complete_without_doubles(api: LiveApi, failed: list[str]) -> None:
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = get(api, **params)
        seen += [letter["id"] for letter in page["dead_letters"]]
        if page["next"] is None:
            break
        params["next"] = page["next"]
    assert seen == failed[::-1]
    full = get(api, limit=len(failed))
    assert (len(full["dead_letters"]), full["next"]) == (len(failed), None)


def test_they_are_counted_by_what_was_asked(api: LiveApi, failed: list[str]) -> None:
    counts = get(api, "/counts")
    assert counts["total"] == 8
    assert sum(group["count"] for group in counts["groups"]) == 8
    assert {(g["actor"], g["error"], g["reason"]) for g in counts["groups"]} == {
        ("a0", "Error0", "error"),
        ("a0", "Error2", "error"),
        ("a1", "Error1", "error"),
        ("a1", "Error3", "error"),
        ("a1", "WorkerDied", "died"),
    }
    by_actor = get(api, "/counts", by="actor", reason="error")
    assert {g["actor"]: g["count"] for g in by_actor["groups"]} == {"a0": 4, "a1": 3}
    assert {g["error"] for g in by_actor["groups"]} == {None}
    by_day = get(api, "/counts", by=["day", "queue"])["groups"]
    assert sum(group["count"] for group in by_day) == 8
    assert all(group["since"].endswith("T00:00:00.000000Z") for group in by_day)
    assert get(api, "/counts", tenant="nobody") == {"groups": [], "total": 0}
    assert get(api, "/counts", limit=1)["total"] == 8
    assert api.http.get(f"{DEAD}/counts", params={"by": "shoe"}).status_code == 422


def test_a_requeued_job_is_no_dead_letter_until_it_fails_again(
    api: LiveApi, hand: Hand, module_settings: Settings
) -> None:
    job = hand.submit(tenant="again", queue="again")
    hand.start(job, queue="again")
    hand.fail(job, "first")
    project(module_settings)
    assert ids(api, tenant="again") == [job]
    api.http.post(f"/api/v1/jobs/{job}/requeue", json={"reason": "a test"})
    project(module_settings)
    assert ids(api, tenant="again") == []
    hand.start(job, queue="again")
    hand.fail(job, "second", kind="Other")
    project(module_settings)
    (letter,) = get(api, tenant="again")["dead_letters"]
    assert (letter["error"], letter["message"]) == ("Other", "second")
    # Both lives in one batch of the projector: the row never was anything but failed.
    api.http.post(f"/api/v1/jobs/{job}/requeue", json={"reason": "a test"})
    hand.start(job, queue="again")
    hand.fail(job, "third", kind="Third")
    project(module_settings)
    (letter,) = get(api, tenant="again")["dead_letters"]
    assert (letter["error"], letter["attempt"]) == ("Third", 3)


def test_the_table_is_what_the_jobs_say(
    api: LiveApi, failed: list[str], module_settings: Settings
) -> None:
    assert failed
    with psycopg.connect(module_settings.database_url) as connection:
        kept = connection.execute(
            "SELECT job, actor, error_type, reason, failed_at FROM failed_jobs ORDER BY job"
        ).fetchall()
        expected = connection.execute(
            "SELECT job, actor, left(error ->> 'type', 200), reason, finished_at FROM jobs"
            " WHERE state = 'failed' ORDER BY job"
        ).fetchall()
        assert kept == expected
        connection.execute("DELETE FROM job_states WHERE job = %s", (kept[0][0],))
        left = connection.execute("SELECT count(*) FROM failed_jobs").fetchone()
        assert left == (len(kept) - 1,)
        connection.rollback()


def test_an_error_class_of_any_length_is_kept(
    hand: Hand, module_settings: Settings, api: LiveApi
) -> None:
    """An index cannot hold it whole, and the projector must not stumble over it."""
    job = hand.submit(tenant="long")
    hand.start(job)
    hand.fail(job, kind="E" * 20_000)
    project(module_settings)
    (letter,) = get(api, tenant="long")["dead_letters"]
    assert letter["error"] == "E" * 200
