"""Jobs whose heads have left Redis: they are shown as before, and go round again, once for each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from live_api import Hand, LiveApi, project

from archived_log import ArchivedLog
from triton import keys
from triton.settings import Settings


class Ended:
    """Jobs that ended, archived, projected, and gone from Redis: heads, messages, and events."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.hand = Hand(self.settings.redis_url, self.settings.namespace)
        self.failed, self.cancelled, self.completed = (
            self.hand.submit(state) for state in ("failed", "cancelled", "completed")
        )
        for job in (self.failed, self.cancelled, self.completed):
            self.hand.start(job)
        self.hand.fail(self.failed)
        self.hand.cancelled(self.cancelled)
        self.hand.complete(self.completed, {"pages": 3})
        project(settings)
        self.log = ArchivedLog.of(settings, block_events=4, database_url=settings.database_url)
        self.evict()

    def evict(self) -> None:
        """As the archiver does, and as if the time for results were over."""
        self.log.seal()
        self.log.trim(grace_ms=60_000)
        for job in (self.failed, self.cancelled, self.completed):
            for name in (keys.job, keys.body):
                key = name(self.log.prefix, job)
                assert int(self.log.client.pttl(key)) <= 60_000
                # Only what goes by itself: a job that is sent round again meanwhile stays.
                self.log.client.pexpire(key, 1, xx=True)


@pytest.fixture
def ended(module_settings: Settings, database_url: str, namespace: str) -> Iterator[Ended]:
    settings = msgspec.structs.replace(
        module_settings, database_url=database_url, namespace=namespace
    )
    ended = Ended(settings)
    with ended.log:
        yield ended


@pytest.fixture(scope="session")
def database_template(migrated_template: str) -> str:
    return migrated_template


def test_the_results_of_a_job_are_there_after_its_head_left(ended: Ended) -> None:
    with LiveApi(ended.settings) as api:
        home = f"{api.url}/api/v1/jobs/"
        found = api.http.get(f"{home}{ended.completed}").json()
        assert (found["state"], found["result"]) == ("completed", {"pages": 3})
        result = api.http.get(f"{home}{ended.completed}/result")
        assert (result.status_code, result.json()) == (200, {"pages": 3})
        for job, state in ((ended.failed, "failed"), (ended.cancelled, "cancelled")):
            found = api.http.get(f"{home}{job}").json()
            assert (found["state"], found["version"]) == (state, 3)
            assert api.http.get(f"{home}{job}/explain").status_code == 200


def test_ended_jobs_are_sent_round_again_after_their_heads_left(ended: Ended) -> None:
    with LiveApi(ended.settings) as api:
        for job in (ended.failed, ended.cancelled):
            url = f"{api.url}/api/v1/jobs/{job}/requeue"
            answer = api.http.post(url, json={"reason": "fixed"})
            assert answer.status_code == 202, answer.text
            assert answer.json()["state"] == "pending", answer.text
            assert api.http.post(url, json={"reason": "again"}).status_code == 409
            assert ended.hand.start(job).attempt == 2
            ended.hand.complete(job)
        url = f"{api.url}/api/v1/jobs/{ended.completed}/requeue"
        assert api.http.post(url, json={"reason": "no"}).status_code == 409
        for job in (ended.failed, ended.cancelled):
            events = api.http.get(f"{api.url}/api/v1/jobs/{job}/events").json()["events"]
            assert [event["version"] for event in events] == list(range(1, 7))
            assert [event["type"] for event in events[3:]] == [
                "job.requeued",
                "job.started",
                "job.completed",
            ]


def test_of_many_who_requeue_at_once_while_heads_leave_one_begins_a_life(
    ended: Ended,
) -> None:
    with LiveApi(ended.settings) as api, ThreadPoolExecutor(8) as pool:
        url = f"{api.url}/api/v1/jobs/{ended.failed}/requeue"

        def requeue(number: int) -> int:
            return api.http.post(url, json={"reason": f"{number}"}).status_code

        assert Counter(pool.map(requeue, range(8))) == {202: 1, 409: 7}
        assert ended.hand.start(ended.failed).attempt == 2
        ended.hand.fail(ended.failed)
        asking = pool.map(requeue, range(8))
        ended.evict()
        assert Counter(asking) == {202: 1, 409: 7}
        events = api.http.get(f"{api.url}/api/v1/jobs/{ended.failed}/events").json()["events"]
    assert [event["version"] for event in events] == list(range(1, 8))


def test_a_selection_requeues_jobs_whose_heads_left(ended: Ended) -> None:
    with LiveApi(ended.settings) as api:
        url = f"{api.url}/api/v1/jobs/requeue"
        chosen = {"filter": {"status": ["failed", "cancelled"]}, "dry_run": True}
        token = api.http.post(url, json=chosen).json()["token"]
        done = api.http.post(url, json={"token": token, "reason": "fixed"}).json()
        assert (done["done"], done["skipped"]) == (2, 0)
        again = api.http.post(url, json={"token": token, "reason": "fixed"}).json()
        assert again["done"] == 0
    assert ended.hand.start(ended.failed).attempt == 2
