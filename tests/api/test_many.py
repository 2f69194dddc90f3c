"""Many jobs on one connection: filters, resume, history joined to what is live, and the same as JSON."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from live_api import Hand, LiveApi, project
from sse_reader import Received, Subscriber

from eventually import eventually
from triton import keys
from triton.api.services import FeedOptions
from triton.feed.contract import Timing
from triton.feed.many_serving import ServingReader
from triton.settings import Settings

URL = "/api/v1/events/subscribe"
JSON = {"Accept": "application/json"}


@pytest.fixture(params=[1, 3], ids=["P=1", "P=3"])
def partitioned(module_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """A log of its own for each test, and time for clients that pause."""
    return msgspec.structs.replace(
        module_settings,
        client_timeout_ms=300_000,
        partitions=request.param,
        namespace=f"{module_settings.namespace}-{random.randrange(10**9)}",
    )


@pytest.fixture
def small(partitioned: Settings) -> Iterator[LiveApi]:
    """A ring that is soon too short, and clients that come back soon."""
    options = FeedOptions(ring_capacity=64, timing=Timing(retry_min_ms=1, retry_max_ms=5))
    with LiveApi(partitioned, options) as live:
        yield live


@pytest.fixture
def hands(small: LiveApi) -> Hand:
    settings = small.settings
    return Hand(settings.redis_url, settings.namespace, settings.partitions)


def everything(api: LiveApi, **filters: Any) -> list[dict[str, Any]]:
    """The log as JSON pages tell it, from the first event on, once the feed has read it all."""
    api.catch_up()
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params: dict[str, Any] = {"limit": 37, **filters}
        params |= {"last_event_id": cursor} if cursor else {"from": "earliest"}
        answer = api.http.get(URL, params=params, headers=JSON)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["events"]
        cursor = page["cursor"]
        if page["complete"]:
            return found


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events]


def lives(hand: Hand, count: int) -> list[str]:
    """Jobs of two queues and two actors, some of them in batches."""
    jobs = []
    for number in range(count):
        queue = f"q{number % 2}"
        job = hand.submit(number, actor=f"actor{number % 3}", queue=queue)
        hand.start(job, queue=queue)
        hand.progress(job, 50)
        hand.fail(job) if number % 5 == 0 else hand.complete(job, number)
        jobs.append(job)
    return jobs


def test_filters_tell_what_a_plain_filter_of_the_log_does(small: LiveApi, hands: Hand) -> None:
    jobs = lives(hands, 60)
    whole = everything(small)
    assert len(whole) == 240
    assert len(set(ids(whole))) == 240
    of_actor = {event["subject"] for event in whole if event["data"].get("actor") == "actor1"}
    for filters, wanted in (
        ({"queue": "q1"}, lambda e: e["queue"] == "q1"),
        (
            {"type": ["job.failed", "job.completed"]},
            lambda e: e["type"] in ("job.failed", "job.completed"),
        ),
        ({"job_id": jobs[3:5]}, lambda e: e["subject"] in jobs[3:5]),
        ({"actor": "actor1"}, lambda e: e["subject"] in of_actor),
        ({"batch": jobs[7]}, lambda e: e["subject"] == jobs[7]),
        (
            {"queue": "q0", "type": "job.failed"},
            lambda e: e["queue"] == "q0" and e["type"] == "job.failed",
        ),
        ({"queue": "nobody"}, lambda e: False),
    ):
        found = everything(small, **filters)
        assert sorted(ids(found)) == sorted(ids([e for e in whole if wanted(e)])), filters


def test_who_waits_is_served_on_the_spot_whatever_it_follows(
    small: LiveApi, hands: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: Counter[bool] = Counter()
    serve = ServingReader.serve

    def noted(self: ServingReader, *args: Any) -> bool:
        simple = serve(self, *args)
        served[simple] += 1
        return simple

    monkeypatch.setattr(ServingReader, "serve", noted)
    job, other = hands.submit(actor="a", queue="q"), hands.submit(actor="b", queue="r")
    hands.start(job, queue="q")
    hands.start(other, queue="r")
    filters = ("", "queue=q", "actor=a", f"job_id={job}", f"batch={job}", "type=job.progressed")
    with contextlib.ExitStack() as held:
        streams = [held.enter_context(Subscriber(f"{small.url}{URL}?{each}")) for each in filters]
        for stream in streams:
            stream.until("triton.caught-up")
        told: list[list[Received]] = [[] for _ in streams]
        for percent in range(1, 7):
            hands.progress(job, percent)
            for stream, events in zip(streams, told, strict=True):
                events.append(next(stream))
    assert served[True] > 5 * served[False], "the tasks of those who only wait are left alone"
    for query, events in zip(filters, told, strict=True):
        assert [event.json["data"]["percent"] for event in events] == [1, 2, 3, 4, 5, 6], query
        after = f"{URL}?{query}&last_event_id={events[2].id}"
        rest = small.http.get(after, headers=JSON).json()["events"]
        assert ids(rest) == [event.json["id"] for event in events[3:]], query


def test_a_stream_from_the_beginning_joins_what_is_live(small: LiveApi, hands: Hand) -> None:
    jobs = lives(hands, 50)
    with Subscriber(f"{small.url}{URL}?from=earliest&actor=actor0&actor=actor1") as stream:
        hello = next(stream)
        assert hello.name == "triton.hello"
        stream.until("triton.caught-up")
        more = lives(hands, 30)
        wanted = 4 * sum(1 for n in range(30) if n % 3 != 2)
        live = [next(stream).json for _ in range(wanted)]
    with Subscriber(f"{small.url}{URL}?actor=actor0&actor=actor1", cursor=hello.id) as stream:
        again = [e.json for e in stream.until("triton.caught-up") if not e.name]
    assert {event["subject"] for event in live} <= set(more)
    assert sorted(ids(again)) == sorted(ids(everything(small, actor=["actor0", "actor1"])))
    assert len(again) == 4 * 34 + wanted
    assert len(jobs) == 50


def test_a_follower_that_is_cut_again_and_again_gets_each_event_once_and_in_order(
    small: LiveApi, hands: Hand
) -> None:
    done = threading.Event()

    def work() -> None:
        lives(hands, 120)
        done.set()

    with Subscriber(f"{small.url}{URL}?queue=q0") as first:
        cursor = next(first).id
    worker = threading.Thread(target=work)
    worker.start()
    chance = random.Random(5)
    seen: list[dict[str, Any]] = []
    over = False
    while not over:
        # Where the last event comes behind the last `caught-up`, the stream is silent from then on.
        # A `caught-up` that was sent before the end may be read after it: only a later stream's counts.
        ended = done.is_set()
        if ended:
            small.catch_up()
        with (
            contextlib.suppress(httpx.ReadTimeout),
            Subscriber(f"{small.url}{URL}?queue=q0", cursor=cursor, timeout=1) as stream,
        ):
            for _ in range(chance.randint(1, 40)):
                event = next(stream)
                cursor = event.id or cursor
                if not event.name:
                    seen.append(event.json)
                if event.name == "triton.caught-up" and ended:
                    over = True
                    break
    worker.join()
    whole = everything(small, queue="q0")
    for partition in range(small.settings.partitions):
        expected = [e["position"] for e in whole if e["partition"] == partition]
        assert [e["position"] for e in seen if e["partition"] == partition] == expected


def test_named_jobs_come_with_their_state_and_end(small: LiveApi, hands: Hand) -> None:
    (done,) = lives(hands, 1)
    waits = hands.submit("x")
    url = f"{small.url}{URL}?job_id={done}&job_id={waits}&job_id=stranger"
    with Subscriber(url) as stream:
        first = stream.until("triton.caught-up")
        states = {e.json["id"]: e.json["state"] for e in first if e.name == "triton.snapshot"}
        assert states == {done: "failed", waits: "pending"}
        hands.run(waits)
        rest = list(stream)
        assert [e.json["type"] for e in rest if not e.name] == [
            "job.started",
            "job.progressed",
            "job.completed",
        ]
        assert rest[-1].name == "triton.end"
        cursor = stream.last_id
    assert small.http.get(url, headers={"Last-Event-ID": cursor}).status_code == 204
    with Subscriber(f"{url}&from=earliest") as stream:
        told = list(stream)
    assert len([e for e in told if not e.name]) == 8
    assert told[-1].name == "triton.end"


def test_what_a_snapshot_told_is_not_sent_again(
    api: LiveApi, hand: Hand, module_settings: Settings
) -> None:
    """One job's state is from the projection, and behind: the others begin there too."""
    old = hand.run(hand.submit())
    project(module_settings)
    hand.client.delete(keys.job(hand.prefix(old), old))
    alive = hand.submit()
    hand.start(alive)
    with Subscriber(f"{api.url}{URL}?job_id={old}&job_id={alive}") as stream:
        told = [event.name for event in stream.until("triton.caught-up")]
        hand.complete(alive)
        live = [event.json["id"] for event in stream if not event.name]
    assert told == ["triton.hello", "triton.snapshot", "triton.snapshot", "triton.caught-up"]
    assert live == [f"{alive}/3"]


def test_a_batch_is_told_live(small: LiveApi, hands: Hand) -> None:
    with Subscriber(f"{small.url}{URL}?batch=together") as stream:
        stream.until("triton.caught-up")
        hands.submit()
        jobs = [hands.submit(correlation="together") for _ in range(3)]
        assert {next(stream).json["subject"] for _ in jobs} == set(jobs)


def test_a_follower_of_a_queue_that_pauses_gets_all(small: LiveApi, hands: Hand) -> None:
    """Events go out on the spot until its connection takes no more; then its own task waits for it."""
    job = hands.submit(queue="long")
    hands.start(job, queue="long")
    with (
        Subscriber(f"{small.url}{URL}?queue=long") as pausing,
        Subscriber(f"{small.url}{URL}?queue=long") as reading,
    ):
        pausing.until("triton.caught-up")
        reading.until("triton.caught-up")
        hands.output(job, *(f"{number:06}" + "x" * 20_000 for number in range(10)))
        for number in range(10, 400):
            hands.output(job, f"{number:06}" + "x" * 20_000)
        told = [int(next(reading).json["data"]["chunk"][:6]) for _ in range(400)]
        assert told == list(range(400))
        assert [int(next(pausing).json["data"]["chunk"][:6]) for _ in range(400)] == told


def test_a_long_poll_waits_for_the_first_event(small: LiveApi, hands: Hand) -> None:
    begun = small.http.get(URL, params={"queue": "slow"}, headers=JSON).json()
    assert begun["events"] == []
    threading.Timer(0.2, lambda: hands.submit(queue="slow")).start()
    params = {"queue": "slow", "last_event_id": begun["cursor"], "wait_ms": 20_000}
    page = small.http.get(URL, params=params, headers=JSON, timeout=60).json()
    assert [event["type"] for event in page["events"]] == ["job.submitted"]
    assert page["complete"]


def test_times_begin_where_they_say(small: LiveApi, hands: Hand) -> None:
    lives(hands, 30)
    whole = everything(small)
    middle = sorted(event["time"] for event in whole)[len(whole) // 2]
    page = small.http.get(URL, params={"from": middle, "limit": 1000}, headers=JSON).json()
    assert sorted(ids(page["events"])) == sorted(ids([e for e in whole if e["time"] >= middle]))


def test_cursors_that_are_none(small: LiveApi, hands: Hand) -> None:
    lives(hands, 1)
    with Subscriber(f"{small.url}{URL}", cursor="garbage") as stream:
        told = stream.until("triton.caught-up")
    assert [(e.name, e.json.get("reason")) for e in told[:2]] == [
        ("triton.hello", None),
        ("triton.reset", "invalid"),
    ]
    with Subscriber(f"{small.url}{URL}?from=garbage") as stream:
        assert stream.until("triton.reset")[-1].json["reason"] == "invalid"
    for given in ("last_event_id", "from"):
        answer = small.http.get(URL, params={given: "garbage"}, headers=JSON)
        fields = answer.json()["details"]["fields"]
        assert (answer.status_code, [each["field"] for each in fields]) == (422, [given])
    with Subscriber(f"{small.url}/api/v1/jobs/{hands.submit()}/subscribe") as stream:
        of_one = next(stream).id
    page = small.http.get(URL, params={"last_event_id": of_one}, headers=JSON)
    assert page.status_code == (200 if small.settings.partitions == 1 else 410)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"job_id": ["x"] * 1001}, "job_id"),
        ({"queue": ""}, "queue"),
        ({"type": "job.unheard"}, "type"),
        ({"from": "2026-01-31T12:00:00"}, "from"),
        ({"job": "x"}, "job"),
        ({"limit": "0"}, "limit"),
    ],
)
def test_what_cannot_be_asked(api: LiveApi, params: dict[str, Any], field: str) -> None:
    answer = api.http.get(URL, params=params)
    assert answer.status_code == 422
    assert field in [
        each["field"].rpartition(".")[2] for each in answer.json()["details"]["fields"]
    ]


def test_a_drain_says_goodbye(small: LiveApi) -> None:
    with Subscriber(f"{small.url}{URL}") as stream:
        stream.until("triton.caught-up")
        assert small.services.hub.open_streams == 1
        threading.Thread(target=small.stop).start()
        assert list(stream)[-1].json["reason"] == "draining"


def test_a_client_that_leaves_gives_its_places_back(small: LiveApi) -> None:
    with Subscriber(f"{small.url}{URL}?queue=a&queue=b") as stream:
        stream.until("triton.caught-up")
        assert small.services.hub.open_streams == 1
    eventually(lambda: small.services.hub.open_streams == 0)


def test_counters_of_queues_are_told_when_they_change(small: LiveApi, hands: Hand) -> None:
    job = hands.submit(queue="counted")
    with Subscriber(f"{small.url}/api/v1/queues/subscribe") as stream:
        assert next(stream).name == "triton.hello"

        def counts() -> dict[str, int]:
            (queue,) = next(stream).json["queues"]
            return {name: queue[name] for name in ("ready", "running")}

        assert counts() == {"ready": 1, "running": 0}
        hands.start(job, queue="counted")
        # What is ready and what runs may be counted one after the other.
        while counts() != {"ready": 0, "running": 1}:
            pass
        threading.Thread(target=small.stop).start()
        assert list(stream)[-1].json["reason"] == "draining"


def test_one_job_is_told_as_json_by_the_same_cursor(small: LiveApi, hands: Hand) -> None:
    """Page by page, from the ring and from before it, what the stream tells; and a long poll of the rest."""
    job = hands.submit()
    hands.start(job)
    url = f"/api/v1/jobs/{job}/subscribe"
    for n in range(100):
        hands.output(job, str(n))
    project(small.settings, range(small.settings.partitions))
    with Subscriber(f"{small.url}{url}") as stream:
        primed = stream.until("triton.caught-up")[0].json["oldest"]
        small.catch_up()
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"cursor": primed, "complete": False}
        while not page["complete"]:
            params = {"limit": 37, "last_event_id": page["cursor"]}
            page = small.http.get(url, params=params, headers=JSON).json()
            found += page["events"]
        assert [event["version"] for event in found] == [*range(1, 103)]
        assert found == small.http.get(url, params={"limit": 200}, headers=JSON).json()["events"]
        timer = threading.Timer(0.2, hands.complete, [job])
        timer.start()
        params = {"last_event_id": page["cursor"], "wait_ms": 20_000}
        last = small.http.get(url, params=params, headers=JSON, timeout=60).json()
        timer.join()
        assert last["events"] == [event.json for event in stream if not event.name]
    over = {"last_event_id": last["cursor"], "wait_ms": 20_000}
    assert small.http.get(url, params=over, headers=JSON, timeout=15).json()["events"] == []
    with Subscriber(f"{small.url}{url}", cursor=last["cursor"]) as again:
        assert again.status == 204
    refused = small.http.get(url, params={"last_event_id": "garbage"}, headers=JSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "validation")
    unknown = small.http.get("/api/v1/jobs/nobody/subscribe", headers=JSON)
    assert unknown.status_code == 404
