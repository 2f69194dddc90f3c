"""Two tenants ask every route, at the same time and over one pool, for what is the other's."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from doors import Door, MakeKey, bearer, doors
from live_api import Hand, LiveApi, project
from sse_reader import Subscriber

from whole_api import whole_api

DOORS = list(doors(whole_api()))
TENANTS = ("acme", "beta")
#: Filters that name what is the other's, or nothing.
FILTERS = ("", "correlation_id=batch-{other}", "job_id={job}", "queue=shared", "actor=work")
RECORD = "/api/v1/clients"


class Held(NamedTuple):
    """What one tenant has."""

    tenant: str
    key: str
    jobs: list[str]
    record: str
    document: str

    @property
    def secret(self) -> str:
        return f"secret-of-{self.tenant}"

    def url(self, door: Door) -> str:
        """A route about a thing of this tenant."""
        known = {"job_id": self.jobs[0], "document_id": self.document, "tenant": self.tenant}
        known |= {"prefix": self.key.split("_")[1], "name": "shared", "version": "1"}
        return re.sub(r"\{([^}]+)\}", lambda at: known.get(at[1], self.record), door.path)


@pytest.fixture(scope="module")
def both(api: LiveApi, hand: Hand, make_key: MakeKey) -> Iterator[tuple[Held, Held]]:
    found = []
    for tenant in TENANTS:
        key = make_key("admin", tenant)
        secret, jobs = f"secret-of-{tenant}", []
        for _ in range(3):
            terms = {"queue": "shared", "tenant": tenant, "correlation": f"batch-{tenant}"}
            jobs.append(hand.submit(secret, **terms))
        hand.start(jobs[0], queue="shared")
        hand.output(jobs[0], secret)
        hand.complete(jobs[0], {"said": secret})
        hand.start(jobs[1], queue="shared")
        hand.fail(jobs[1], secret)
        made = [
            api.http.post(RECORD, json={"name": secret}, headers=bearer(key)),
            api.http.post(
                "/api/v1/documents",
                params={"filename": f"{secret}.txt"},
                content=b"x",
                headers=bearer(key),
            ),
        ]
        found.append(Held(tenant, key, jobs, *(one.json()["id"] for one in made)))
    project(api.settings)
    yield found[0], found[1]


def asked(door: Door, who: Held, other: Held) -> Iterator[str]:
    yield other.url(door)
    if door.path.endswith(("/subscribe", "/jobs", "/export", "/dead-letters", "/at")):
        for one in FILTERS:
            chosen = one.format(other=other.tenant, job=other.jobs[0])
            if door.path.endswith("events/subscribe"):
                chosen += "&from=earliest"
            if door.path.endswith("/export"):
                chosen = chosen.replace("correlation_id", "correlation").replace("job_id", "job")
            if door.path.endswith("/at"):
                chosen = "instant=now&" + chosen.replace("job_id", "job")
            yield f"{other.url(door)}?{chosen}"
            yield f"{who.url(door)}?{chosen}"


def test_no_answer_tells_of_the_other(api: LiveApi, both: tuple[Held, Held]) -> None:
    """Streams in their JSON form, the audit and what was taken out of the log are among them."""
    questions = [
        (who, other, url)
        for who, other in (both, both[::-1])
        for door in DOORS
        if door.method == "GET" and not door.public and not door.path.endswith("queues/subscribe")
        for url in asked(door, who, other)
    ]
    chance = random.Random(6)
    chance.shuffle(questions)

    def ask(question: tuple[Held, Held, str]) -> tuple[Held, str, bytes]:
        who, other, url = question
        headers = {**bearer(who.key), "Accept": "application/json"}
        with api.http.stream("GET", url, headers=headers) as answer:
            if chance.random() < 0.1:
                return who, url, b""  # gone before it was read
            body = answer.read()
        assert other.secret.encode() not in body, (who.tenant, url, answer.status_code)
        # Ids that were not in the question.
        told = [job for job in other.jobs if job not in url and job.encode() in body]
        assert told == [], (who.tenant, url)
        return who, url, body

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(ask, questions))

    # What is one's own is there: else nothing above would be a proof.
    for who in both:
        bodies = [body for one, _, body in answers if one is who]
        assert sum(who.secret.encode() in body for body in bodies) > 5
        assert sum(who.jobs[0].encode() in body for body in bodies) > 5


def test_no_stream_tells_of_the_other(api: LiveApi, both: tuple[Held, Held]) -> None:
    for who, other in (both, both[::-1]):
        headers = bearer(who.key)
        token = api.http.post(
            "/api/v1/stream-tokens", json={"tenant": who.tenant}, headers=headers
        ).json()["token"]
        url = f"{api.url}/api/v1/events/subscribe?from=earliest&token={token}"
        with Subscriber(url) as stream:
            told = "".join(str(event) for event in stream.until("triton.caught-up"))
        assert who.jobs[0] in told
        assert not any(one in told for one in (other.secret, *other.jobs))
        for path in (f"jobs/{other.jobs[2]}/subscribe", f"jobs/{other.jobs[0]}/events"):
            assert api.http.get(f"/api/v1/{path}", headers=headers).status_code == 404, path


def test_nothing_of_the_other_can_be_changed(api: LiveApi, both: tuple[Held, Held]) -> None:
    for who, other in (both, both[::-1]):
        for door in DOORS:
            if door.method == "GET" or door.public or "{" not in door.path:
                continue
            headers = {**bearer(who.key), "If-Match": "*"}
            body = {"name": "x", "reason": "theft"}
            answer = api.http.request(door.method, other.url(door), json=body, headers=headers)
            # Webhooks' secrets need a ring of keys, and there is none here.
            refused = (403, 404, 422, 503 if door.path.endswith("/secret") else 404)
            assert answer.status_code in refused, (door, answer.status_code, answer.text)
    for who in both:
        kept = api.http.get(f"{RECORD}/{who.record}", headers=bearer(who.key)).json()
        assert (kept["name"], kept["version"]) == (who.secret, 1)
        for job in who.jobs:
            told = api.http.get(f"/api/v1/jobs/{job}/events", headers=bearer(who.key)).json()
            assert {event["by"].partition(":")[0] for event in told["events"]} <= {"user", "worker"}
