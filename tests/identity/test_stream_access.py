"""What a stream token opens over HTTP, what it does not, and what happens when it expires."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api_process import SERVE
from doors import MakeKey, bearer
from live_api import Hand, LiveApi, log_events
from sse_reader import Received, Subscriber

from eventually import eventually
from triton.api.job_reader import JobReader
from triton.api.services import FeedOptions
from triton.events.types import StreamTokenMade, StreamTokenRevoked
from triton.feed.contract import Timing
from triton.settings import Settings

HERE = Path(__file__).parent
Make = Callable[..., str]


@pytest.fixture(scope="module")
def developer(make_key: MakeKey) -> str:
    """A key of somebody at acme."""
    return make_key("developer", "acme")


@pytest.fixture
def make_token(api: LiveApi, developer: str) -> Make:
    def make(key: str = developer, **asked: Any) -> str:
        found = api.http.post("/api/v1/stream-tokens", json=asked, headers=bearer(key))
        assert found.status_code == 201, found.text
        token = found.json()["token"]
        assert isinstance(token, str)
        return token

    return make


def stream(api: LiveApi, path: str, token: str, **options: Any) -> Subscriber:
    sign = "&" if "?" in path else "?"
    return Subscriber(f"{api.url}/api/v1/{path}{sign}token={token}", **options)


def batch(api: LiveApi, token: str, query: str = "") -> list[dict[str, Any]]:
    """All that a token shows of the log."""
    api.catch_up()
    answer = api.http.get(
        f"/api/v1/events/subscribe?from=earliest&limit=1000&token={token}&{query}",
        headers={"Accept": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    events = answer.json()["events"]
    assert isinstance(events, list)
    return events


def names(events: list[Received]) -> list[str]:
    return [event.name or event.json["type"] for event in events]


def test_a_token_follows_its_job_in_every_form(api: LiveApi, hand: Hand, make_token: Make) -> None:
    job = hand.run(hand.submit(tenant="acme"))
    token = make_token(jobs=[job, "another"])
    with stream(api, f"jobs/{job}/subscribe", token) as own:
        assert names(list(own)) == ["triton.hello", "triton.snapshot", "triton.end"]
    with stream(api, f"events/subscribe?job_id={job}", token) as many:
        assert names(list(many))[:2] == ["triton.hello", "triton.snapshot"]
    assert [event["subject"] for event in batch(api, token)] == [job] * 4
    by_header = api.http.get(f"/api/v1/jobs/{job}/subscribe", headers=bearer(token))
    assert by_header.status_code == 200
    assert b"triton.end" in by_header.content


def test_a_token_is_used_again_until_it_expires(api: LiveApi, hand: Hand, make_token: Make) -> None:
    """An EventSource repeats its address at each reconnect; so there is nothing to replay but the same."""
    job = hand.submit(tenant="acme")
    token = make_token(jobs=[job])
    with stream(api, f"jobs/{job}/subscribe", token) as one:
        one.until("triton.caught-up")
        with stream(api, f"jobs/{job}/subscribe", token) as other:
            other.until("triton.caught-up")
            hand.run(job)
            assert len(list(other)) == len(list(one)) == 4
    with stream(api, f"jobs/{job}/subscribe", token, cursor=one.last_id) as again:
        assert again.status == 204


def test_the_narrower_credential_wins(
    api: LiveApi, hand: Hand, make_token: Make, developer: str
) -> None:
    job, other = hand.submit(tenant="acme"), hand.submit(tenant="acme")
    token = make_token(jobs=[job])
    path = f"/api/v1/jobs/{other}/subscribe"
    assert api.http.get(f"{path}?token={token}", headers=bearer(developer)).status_code == 403
    assert api.http.get(f"{path}?token=", headers={}).status_code == 401


def test_nothing_else_opens_to_a_token(api: LiveApi, hand: Hand, make_token: Make) -> None:
    job = hand.submit(tenant="acme")
    token = make_token(tenant="acme")
    for method, path in (
        ("GET", f"/api/v1/jobs/{job}"),
        ("GET", f"/api/v1/jobs/{job}/events"),
        ("POST", f"/api/v1/jobs/{job}/cancel"),
        ("GET", "/api/v1/jobs"),
        ("POST", "/api/v1/stream-tokens"),
    ):
        for answer in (
            api.http.request(method, path, headers=bearer(token)),
            api.http.request(method, path, headers={"X-API-Key": token}),
            api.http.request(method, f"{path}?token={token}"),
        ):
            assert answer.status_code == 401, (method, path)
            assert token not in answer.text


def answer_of(api: LiveApi, path: str, token: str, job: str) -> tuple[int, str]:
    """What somebody is told, with the job's name taken out."""
    found = api.http.get(f"/api/v1/{path.format(job)}", headers=bearer(token))
    told = found.json()
    told.pop("request_id")
    return found.status_code, json.dumps(told).replace(job, "JOB")


@pytest.mark.parametrize("path", ["jobs/{}/subscribe", "events/subscribe?job_id={}"])
def test_a_foreign_and_an_unknown_job_look_the_same(
    api: LiveApi, hand: Hand, make_token: Make, path: str
) -> None:
    """Of another tenant, of another scope, and none at all; whether the token names it or not."""
    foreign, mine = hand.submit(tenant="rival"), hand.submit(tenant="acme")
    unknown = "f" * 32
    outside = make_token(jobs=[mine])
    assert answer_of(api, path, outside, foreign) == answer_of(api, path, outside, unknown)
    assert answer_of(api, path, outside, foreign)[0] == 403
    named = make_token(jobs=[foreign, unknown])
    if path.startswith("jobs"):
        assert answer_of(api, path, named, foreign) == answer_of(api, path, named, unknown)
        assert answer_of(api, path, named, foreign)[0] == 404
    else:
        for job in (foreign, unknown):
            with stream(api, path.format(job), named) as nothing:
                assert names(nothing.until("triton.caught-up"))[1:] == ["triton.caught-up"]


def test_a_token_of_a_batch_knows_no_other(api: LiveApi, hand: Hand, make_token: Make) -> None:
    inside = hand.submit(tenant="acme", options={"correlation": "import-1"})
    outside = hand.submit(tenant="acme", options={"correlation": "import-2"})
    hand.run(inside)
    hand.run(outside)
    token = make_token(batches=["import-1"])
    with stream(api, f"jobs/{inside}/subscribe", token) as own:
        assert names(list(own))[-1] == "triton.end"
    path = "jobs/{}/subscribe"
    assert answer_of(api, path, token, outside) == answer_of(api, path, token, "e" * 32)
    assert answer_of(api, path, token, outside)[0] == 404
    assert {event["subject"] for event in batch(api, token)} == {inside}
    with stream(api, f"events/subscribe?job_id={outside}", token) as nothing:
        assert "triton.snapshot" not in names(nothing.until("triton.caught-up"))
    refused = api.http.get(f"/api/v1/events/subscribe?batch=import-2&token={token}")
    assert refused.status_code == 403


def test_a_token_of_types_shows_these_and_no_state(
    api: LiveApi, hand: Hand, make_token: Make
) -> None:
    """A snapshot would tell what the other types say."""
    job = hand.submit("a secret argument", tenant="acme")
    token = make_token(jobs=[job], types=["job.progressed"])
    with stream(api, f"events/subscribe?job_id={job}", token) as shown:
        hello = shown.until("triton.caught-up")
        hand.run(job)
        events = hello + shown.until(lambda event: not event.name)
    assert names(events) == ["triton.hello", "triton.caught-up", "job.progressed"]
    assert "secret" not in bytes(shown.raw).decode()
    assert [event["type"] for event in batch(api, token)] == ["job.progressed"]
    for path in (f"jobs/{job}/subscribe", "events/subscribe?type=job.completed"):
        refused = api.http.get(f"/api/v1/{path}", headers=bearer(token))
        assert (refused.status_code, refused.json()["details"]) == (403, {"scope": "types"})
    assert api.http.get("/api/v1/queues/subscribe", headers=bearer(token)).status_code == 403


def test_a_token_of_a_tenant_shows_all_of_it_and_nothing_else(
    api: LiveApi, hand: Hand, make_token: Make
) -> None:
    foreign = hand.submit(tenant="rival")
    jobs = {hand.submit(tenant="acme") for _ in range(3)}
    token = make_token(tenant="acme")

    def followed() -> set[str]:
        return {event["subject"] for event in batch(api, token)}

    eventually(lambda: jobs <= followed())
    assert foreign not in followed()
    with stream(api, "queues/subscribe", token) as counters:
        assert next(counters).name == "triton.hello"


def test_a_token_shows_no_queues_to_who_may_not_see_them(
    api: LiveApi, make_key: MakeKey, make_token: Make
) -> None:
    key = make_key("developer", "acme", scopes=("events.read",))
    token = make_token(key, tenant="acme")
    batch(api, token)
    for more in ({"params": {"token": token}}, {"headers": bearer(key)}):
        refused = api.http.get("/api/v1/queues/subscribe", **more)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({}, 422, "jobs"),
        ({"types": ["job.output"]}, 422, "jobs"),
        ({"jobs": ["a"], "batches": ["b"]}, 422, "batches"),
        ({"jobs": ["a"], "types": ["queue.paused"]}, 422, "types"),
        ({"jobs": ["a"], "ttl": 3601}, 422, "ttl"),
        ({"jobs": ["a"], "ttl": 0}, 422, "ttl"),
        ({"jobs": ["a"] * 101}, 422, "jobs"),
        ({"jobs": [f"{n:03}" * 60 for n in range(100)]}, 422, "jobs"),
        ({"jobs": ["a\0"]}, 422, "jobs"),
        ({"jobs": ["a"], "role": "admin"}, 422, "role"),
        ({"tenant": "rival"}, 403, None),
        ({"tenant": "rival", "jobs": ["a"]}, 403, None),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    api: LiveApi, developer: str, asked: dict[str, Any], status: int, field: str | None
) -> None:
    found = api.http.post("/api/v1/stream-tokens", json=asked, headers=bearer(developer))
    assert found.status_code == status, found.text
    if field is not None:
        assert [each["field"].partition("[")[0] for each in found.json()["details"]["fields"]] == [
            field
        ]


def test_an_operator_names_any_tenant(
    api: LiveApi, hand: Hand, make_key: MakeKey, make_token: Make
) -> None:
    job = hand.submit(tenant="rival")
    token = make_token(make_key("operator"), tenant="rival", jobs=[job])
    eventually(lambda: [event["subject"] for event in batch(api, token)] == [job])


def test_expiry_closes_the_stream_and_another_token_goes_on_exactly(
    api: LiveApi, hand: Hand, make_token: Make
) -> None:
    job = hand.submit(tenant="acme")
    for path in (f"jobs/{job}/subscribe", f"events/subscribe?job_id={job}"):
        told: Any = []
        while not told:
            # On a slow machine it may be over before its stream has begun.
            token = make_token(jobs=[job], ttl=1)
            with stream(api, path, token) as short:
                told = list(short)
        bye = told[-1]
        assert (bye.name, bye.json["reason"]) == ("triton.bye", "expired")
        with stream(api, path, token, cursor=short.last_id) as refused:
            assert refused.status == 401
            told = json.loads(refused.response.read())
        assert (told["code"], told["details"]) == ("unauthenticated", {"reason": "expired"})
        assert token not in json.dumps(told)
    hand.run(job)
    with stream(api, path, make_token(jobs=[job]), cursor=short.last_id) as again:
        assert [event.json["version"] for event in again if not event.name] == [2, 3, 4]


def test_a_long_poll_ends_with_its_token(api: LiveApi, make_token: Make) -> None:
    def asked() -> httpx.Response | None:
        """On a slow machine the token may be over before it is asked with."""
        token = make_token(jobs=["nobody"], ttl=1)
        path = f"/api/v1/events/subscribe?wait_ms=30000&token={token}"
        found = api.http.get(path, headers={"Accept": "application/json"}, timeout=60)
        return found if found.status_code == 200 else None

    found = eventually(asked)
    assert found is not None
    assert found.json()["events"] == []


def test_a_stolen_key_of_another_log_opens_nothing(
    api: LiveApi, settings: Settings, hand: Hand, make_token: Make, developer: str
) -> None:
    """Two platforms on one Redis: each has keys of its own, and says the same of what it does not know."""
    job = hand.submit(tenant="acme")
    other = msgspec.structs.replace(settings, namespace=settings.namespace + ".b", auth="off")
    Hand(other.redis_url, other.namespace)
    with LiveApi(other) as elsewhere:
        asked = {"jobs": [job], "tenant": "acme"}
        token = elsewhere.http.post("/api/v1/stream-tokens", json=asked).json()["token"]
        with stream(elsewhere, "events/subscribe", token) as own:
            assert next(own).name == "triton.hello"
    told = answer_of(api, "jobs/{}/subscribe", token, job)
    assert told == answer_of(api, "jobs/{}/subscribe", make_token(jobs=[job])[:-3] + "AAA", job)
    assert told[0] == 401


def test_streams_are_counted_for_each_token(
    settings: Settings, hand: Hand, make_key: MakeKey
) -> None:
    job, key = hand.submit(tenant="acme"), make_key("viewer", "acme")
    with LiveApi(msgspec.structs.replace(settings, streams_per_user=1)) as api:
        one, other = (
            api.http.post(
                "/api/v1/stream-tokens", json={"jobs": [job]}, headers=bearer(key)
            ).json()["token"]
            for _ in range(2)
        )
        with stream(api, f"jobs/{job}/subscribe", one) as first:
            next(first)
            refused = api.http.get(f"/api/v1/jobs/{job}/subscribe?token={one}")
            assert (refused.status_code, refused.json()["details"]["of"]) == (429, "user")
            with stream(api, f"jobs/{job}/subscribe", other) as second:
                assert next(second).name == "triton.hello"


def test_an_api_key_that_expires_ends_its_stream_too(
    api: LiveApi, hand: Hand, make_key: MakeKey
) -> None:
    job = hand.submit(tenant="acme")

    def text() -> str:
        """All that it is told; a key that was over before the stream had begun is none."""
        key = make_key("viewer", "acme", expires_at=datetime.now(UTC) + timedelta(seconds=1))
        url = f"{api.url}/api/v1/jobs/{job}/subscribe"
        with httpx.stream("GET", url, headers=bearer(key), timeout=30) as answer:
            return answer.read().decode() if answer.status_code == 200 else ""

    assert '"reason":"expired"' in eventually(text)


def test_no_token_is_ever_in_the_log(
    settings: Settings, hand: Hand, make_key: MakeKey, tmp_path: Path
) -> None:
    """At the most talkative level, for what goes well, is refused, is malformed and crashes."""
    job, key = hand.submit(tenant="acme"), make_key("viewer", "acme")
    quiet = msgspec.structs.replace(settings, port=0, log_level="debug", debug=True)
    said = tmp_path / "log"
    tokens = []
    with said.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", "import logging; logging.basicConfig(level=10)\n" + SERVE],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            env=dict(os.environ),
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode((quiet, None)))
        child.stdin.close()
        try:
            (url,) = eventually(lambda: re.findall(r"^http://\S+(?=\n)", said.read_text(), re.M))
            with httpx.Client(base_url=url, timeout=30) as http:
                # The first so long that it is not over before its stream begins, and is waited for.
                for ttl in (5, 600):
                    asked = {"jobs": [job], "ttl": ttl}
                    made = http.post(
                        "/api/v1/stream-tokens", json=asked, headers=bearer(key)
                    ).json()
                    token = made["token"]
                    tokens.append(token)
                    with Subscriber(f"{url}/api/v1/jobs/{job}/subscribe?token={token}") as one:
                        next(one)
                        if token is tokens[0]:
                            list(one)
                    for path in (
                        f"/api/v1/jobs/{job}/subscribe?token={token}x",
                        f"/api/v1/jobs/nobody/subscribe?token={token}",
                        f"/api/v1/jobs/{job}/subscribe?token={token}&unknown=1",
                        f"/api/v1/events/subscribe?token={token}&limit=x",
                        f"/api/v1/events/subscribe?token={token}&token={token}{'x' * 7000}",
                        f"/api/v1/jobs?token={token}",
                        f"/nothing?token={token}",
                    ):
                        answer = http.get(path, headers={"Accept": "application/json"})
                        assert answer.status_code >= 400
                        assert token not in answer.text
        finally:
            child.terminate()
            child.wait(timeout=60)
    written = said.read_bytes()
    assert b"stream_token_made" in written, "the log was looked at"
    for token in tokens:
        assert token.encode() not in written
        assert token.rpartition(".")[2].encode() not in written


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 18 or newer")
def test_the_javascript_client_asks_for_another_token(
    settings: Settings, hand: Hand, make_key: MakeKey
) -> None:
    job, key = hand.submit(tenant="acme"), make_key("viewer", "acme")
    quick = FeedOptions(timing=Timing(retry_min_ms=1, retry_max_ms=5))
    with LiveApi(settings, quick) as api:
        child = subprocess.Popen(
            ["node", HERE / "refreshing.mjs", api.url, job, key, "3"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        said: list[dict[str, Any]] = []

        def heard(wanted: Callable[[], bool]) -> None:
            while not wanted():
                line = child.stdout.readline() if child.stdout else ""
                assert line, said
                said.append(json.loads(line))

        def tokens() -> list[str]:
            return [each["token"] for each in said if "token" in each]

        heard(lambda: len(tokens()) >= 2)
        hand.start(job)
        hand.progress(job, 50)
        heard(lambda: len(tokens()) >= 3)
        hand.complete(job)
        heard(lambda: "waited" in said[-1])
        child.wait(timeout=60)
    assert len(set(tokens())) == len(tokens())
    assert [each["version"] for each in said if "version" in each] == [2, 3, 4]
    assert said[-1] == {"waited": "completed"}


def test_a_bare_event_source_follows_with_a_token_and_is_told_of_its_end(
    browser: Any, api: LiveApi, hand: Hand, make_token: Make
) -> None:
    job = hand.submit(tenant="acme")
    page = browser.new_page(bypass_csp=True)
    page.goto(f"{api.url}/health")
    url = f"/api/v1/jobs/{job}/subscribe"
    page.evaluate(
        """([url, first, second]) => {
            window.told = [];
            window.reasons = [];
            const open = (token, cursor) => {
                const query = new URLSearchParams(cursor ? {token, last_event_id: cursor} : {token});
                const source = new EventSource(`${url}?${query}`);
                let last = cursor;
                const heard = (event) => { last = event.lastEventId || last; };
                source.onmessage = (event) => {
                    heard(event);
                    window.told.push(JSON.parse(event.data).version);
                };
                for (const name of ["hello", "caught-up", "cursor"])
                    source.addEventListener(`triton.${name}`, heard);
                source.addEventListener("triton.bye", (event) => {
                    const {reason} = JSON.parse(event.data);
                    window.reasons.push(reason);
                    if (reason === "expired") { source.close(); open(second, last); }
                });
                source.addEventListener("triton.end", () => { source.close(); window.reasons.push("end"); });
            };
            open(first);
        }""",
        # So long that it is not over before its stream begins where the machine stands still for a moment.
        [url, make_token(jobs=[job], ttl=6), make_token(jobs=[job])],
    )
    eventually(lambda: page.evaluate("window.reasons") == ["expired"])
    hand.run(job)
    eventually(lambda: page.evaluate("window.reasons") == ["expired", "end"])
    assert page.evaluate("window.told") == [2, 3, 4]
    page.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium, where Debian's package is installed."""
    from chromium import CHROMIUM, QUIET, start

    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with start() as engine, engine.chromium.launch(executable_path=CHROMIUM, args=QUIET) as started:
        yield started


def reason_of(api: LiveApi, path: str, token: str) -> str:
    found = api.http.get(f"/api/v1/{path}?token={token}", headers={"Accept": "application/json"})
    reason = found.json()["details"].get("reason") if found.status_code == 401 else ""
    return str(reason)


def told(settings: Settings, token: str) -> list[tuple[str, str, list[str] | None]]:
    """By whom a token was made, in which tenant, and for which jobs, and by whom it was taken back, as the
    log has it."""
    return [
        (event.by, event.tenant, getattr(event.data, "jobs", None))
        for event in log_events(settings, "")
        if isinstance(event.data, StreamTokenMade | StreamTokenRevoked)
        and event.data.token == token
    ]


def test_a_token_that_is_taken_back_ends_its_streams_and_no_other(
    api: LiveApi, settings: Settings, hand: Hand, developer: str, make_key: MakeKey
) -> None:
    job = hand.submit(tenant="acme")

    def made() -> dict[str, str]:
        asked = {"jobs": [job]}
        answer = api.http.post("/api/v1/stream-tokens", json=asked, headers=bearer(developer))
        found: dict[str, str] = answer.json()
        return found

    one, other = made(), made()
    path = f"jobs/{job}/subscribe"
    with stream(api, path, one["token"]) as first, stream(api, path, other["token"]) as second:
        first.until("triton.caught-up")
        second.until("triton.caught-up")
        rival = make_key("developer", "rival")
        for key, expected in ((rival, ""), (developer, "revoked")):
            answer = api.http.delete(f"/api/v1/stream-tokens/{one['id']}", headers=bearer(key))
            assert answer.status_code == 204
            assert reason_of(api, "events/subscribe", one["token"]) == expected
        api.http.delete(f"/api/v1/stream-tokens/{one['id']}", headers=bearer(developer))
        assert told(settings, one["id"]) == [
            (f"key:{key.split('_')[1]}", tenant, jobs)
            for key, tenant, jobs in (
                (developer, "acme", [job]),
                (rival, "rival", None),
                (developer, "acme", None),
            )
        ], "each act is an event of the tenant's, once"
        assert [event.json.get("reason") for event in first] == ["expired"]
        hand.run(job)
        assert names(list(second))[-1] == "triton.end"
    assert reason_of(api, "events/subscribe", other["token"]) == ""
    answer = api.http.delete("/api/v1/stream-tokens/nothing", headers=bearer(developer))
    assert answer.status_code == 422


def test_what_a_key_opened_ends_with_it(api: LiveApi, hand: Hand, make_key: MakeKey) -> None:
    """Its own stream, those of tokens that it made, and the tokens."""
    job, key, admin = hand.submit(tenant="acme"), make_key("viewer", "acme"), make_key("admin")
    path = f"jobs/{job}/subscribe"
    asked = {"jobs": [job]}
    made = api.http.post("/api/v1/stream-tokens", json=asked, headers=bearer(key)).json()
    with (
        stream(api, path, made["token"]) as by_token,
        httpx.stream("GET", f"{api.url}/api/v1/{path}", headers=bearer(key), timeout=60) as by_key,
    ):
        by_token.until("triton.caught-up")
        prefix = key.split("_")[1]
        assert api.http.delete(f"/api/v1/keys/{prefix}", headers=bearer(admin)).status_code == 204
        assert [event.json.get("reason") for event in by_token] == ["expired"]
        assert '"reason":"expired"' in by_key.read().decode()
    assert reason_of(api, "events/subscribe", made["token"]) == "revoked"


def test_a_token_ends_with_the_session_that_made_it(
    api: LiveApi, settings: Settings, make_key: MakeKey
) -> None:
    admin, login = make_key("admin"), "follower@example.org"
    account = {"login": login, "password": "a long enough one", "role": "viewer", "tenant": "acme"}
    assert api.http.post("/api/v1/users", json=account, headers=bearer(admin)).is_success
    entrance = {"login": login, "password": account["password"]}
    pair = api.http.post("/api/v1/auth/login", json=entrance).json()
    access = bearer(pair["access_token"])
    made = api.http.post("/api/v1/stream-tokens", json={"jobs": ["any"]}, headers=access).json()
    assert reason_of(api, "events/subscribe", made["token"]) == ""
    assert api.http.post("/api/v1/auth/logout", headers=access).is_success
    assert reason_of(api, "events/subscribe", made["token"]) == "revoked"


@pytest.mark.parametrize(
    "path", ["jobs/{}", "jobs/{}/subscribe", "events/subscribe?wait_ms=0&job_id={}"]
)
def test_a_foreign_job_costs_the_work_of_an_unknown_one(
    api: LiveApi, hand: Hand, developer: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL is asked for a job that Redis does not have: who counts milliseconds must not hear that."""
    asked: list[str] = []
    rows = JobReader.rows

    async def counting(self: JobReader, statement: str, *values: Any) -> Any:
        asked.append(statement)
        return await rows(self, statement, *values)

    monkeypatch.setattr(JobReader, "rows", counting)

    def work(job: str) -> list[str]:
        asked.clear()
        if path.startswith("events"):
            with httpx.stream(
                "GET", f"{api.url}/api/v1/{path.format(job)}", headers=bearer(developer)
            ):
                return list(asked)
        assert (
            api.http.get(f"/api/v1/{path.format(job)}", headers=bearer(developer)).status_code
            == 404
        )
        return list(asked)

    assert work(hand.submit(tenant="rival")) == work("d" * 32) == ["jobs_named"]


def test_who_sees_all_tenants_goes_on_after_any_event(
    api: LiveApi, hand: Hand, make_key: MakeKey
) -> None:
    """A cursor is bound to who is told it: not to the tenant of the event that it stands at."""
    headers = bearer(make_key("viewer")) | {"Accept": "application/json"}
    path = "/api/v1/events/subscribe"
    api.catch_up()
    begun = api.http.get(path, headers=headers).json()["cursor"]
    platform = headers | {"Accept": "text/event-stream", "Last-Event-ID": begun}
    expected, told = [], []
    with httpx.stream("GET", f"{api.url}{path}", headers=platform, timeout=60) as answer:
        lines = answer.iter_lines()
        next(line for line in lines if line == "event: triton.caught-up")
        for tenant in ("acme", "rival", "acme"):
            expected.append(hand.submit(tenant=tenant))
            line = next(line for line in lines if line.startswith("data: {"))
            while "job.submitted" not in line:
                line = next(line for line in lines if line.startswith("data: {"))
            cursor = next(line for line in lines if line.startswith("id: "))[4:]
            told.append((json.loads(line[6:])["subject"], cursor))
    assert [job for job, _ in told] == expected
    for number, (_, cursor) in enumerate(told):
        rest = api.http.get(path, headers=headers | {"Last-Event-ID": cursor})
        assert rest.status_code == 200, rest.text
        assert [event["subject"] for event in rest.json()["events"]] == expected[number + 1 :]
