"""How many streams one user, address and tenant may have, and what the next one is told."""

from __future__ import annotations

import contextlib
import http.client
import threading
import uuid
from collections.abc import Iterator

import msgspec
import pytest
from live_api import Hand, LiveApi
from sse_reader import Subscriber

from eventually import eventually
from triton.feed.admission import Admission, Full, Limits, Place
from triton.settings import Settings

MOST = 3


@pytest.fixture(scope="module")
def narrow(module_settings: Settings) -> Iterator[LiveApi]:
    with LiveApi(msgspec.structs.replace(module_settings, streams_per_address=MOST)) as live:
        yield live


def nobody_is_counted(api: LiveApi) -> None:
    """Any more: a client that has left is let go a moment later."""
    eventually(lambda: api.services.admission.count("address", "127.0.0.1") == 0)


@pytest.fixture
def full(narrow: LiveApi) -> Iterator[LiveApi]:
    """An API that has as many streams of this address as it takes, of every kind."""
    nobody_is_counted(narrow)
    with contextlib.ExitStack() as held:
        for path in ("events/subscribe", "queues/subscribe", "events/subscribe?type=job.started"):
            stream = held.enter_context(Subscriber(f"{narrow.url}/api/v1/{path}"))
            next(stream)
        yield narrow
    nobody_is_counted(narrow)


def test_one_stream_too_many_is_a_429_that_says_when_to_come_back(
    full: LiveApi, hand: Hand
) -> None:
    job = hand.submit()
    for path in (f"jobs/{job}/subscribe", "events/subscribe", "queues/subscribe"):
        answer = full.http.get(f"/api/v1/{path}")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "5"
        told = answer.json()
        assert told["code"] == "too_many_streams"
        assert told["details"] == {"of": "address", "limit": MOST, "retry_after": 5}
    assert full.services.hub.open_streams == MOST, "a refused one costs nothing"


def test_a_long_poll_counts_like_a_stream(full: LiveApi) -> None:
    asked = {"Accept": "application/json"}
    answer = full.http.get("/api/v1/events/subscribe", headers=asked)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")


def test_who_comes_back_with_a_cursor_survives_as_a_browser(full: LiveApi, hand: Hand) -> None:
    """The connection that broke may still be counted: a 429 would end an EventSource for good."""
    job = hand.submit()
    for cursor, query in (("AQ", None), (None, "AQ")):
        with Subscriber(
            f"{full.url}/api/v1/jobs/{job}/subscribe", cursor=cursor, query=query
        ) as again:
            assert again.status == 200
            (bye,) = list(again)
        assert (bye.name, bye.json["reason"]) == ("triton.bye", "limited")
        assert again.retry == bye.json["retry_ms"]


def test_a_place_is_free_again_however_a_stream_ends(narrow: LiveApi, hand: Hand) -> None:
    """By its end, at an unknown job, with nothing to send, when the client leaves, and after a long poll."""
    nobody_is_counted(narrow)
    job = hand.run(hand.submit())
    url = f"{narrow.url}/api/v1/jobs/{job}/subscribe"
    with Subscriber(url) as stream:
        stream.until("triton.end")
    nobody_is_counted(narrow)
    with Subscriber(url, cursor=stream.last_id) as over:
        assert over.status == 204
    assert narrow.http.get("/api/v1/jobs/nobody/subscribe").status_code == 404
    with Subscriber(f"{narrow.url}/api/v1/events/subscribe") as left:
        next(left)
    poll = narrow.http.get(
        "/api/v1/events/subscribe",
        params={"from": "no cursor"},
        headers={"Accept": "application/json"},
    )
    assert poll.status_code == 422
    nobody_is_counted(narrow)
    assert narrow.services.admission.count("tenant", "default") == 0


def test_streams_are_counted_before_they_are_looked_up(narrow: LiveApi, hand: Hand) -> None:
    """Many at once, all before the first has its 200: no more than the limit get in."""
    nobody_is_counted(narrow)
    job = hand.submit()
    opened: list[int] = []
    go, done = threading.Barrier(12), threading.Event()

    def one() -> None:
        go.wait()
        with Subscriber(f"{narrow.url}/api/v1/jobs/{job}/subscribe") as stream:
            opened.append(stream.status)
            done.wait(60)

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(opened) == 12)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(opened) == [200] * MOST + [429] * (12 - MOST)


@pytest.mark.parametrize("kind", ["job_id", "queue", "batch"])
def test_too_many_filters_are_told_the_limit(api: LiveApi, kind: str) -> None:
    """Asking again would not change it, so it is no answer to come back from."""
    query = "&".join(f"{kind}={n}" for n in range(1001))
    found = api.http.get(f"/api/v1/events/subscribe?{query}")
    assert (found.status_code, found.json()["code"]) == (422, "validation")
    assert "1001 values, at most 1000" in found.json()["message"]
    assert api.services.hub.open_streams == 0


def test_an_address_of_ten_thousand_jobs_is_refused_before_it_is_parsed(api: LiveApi) -> None:
    """No line of a request is longer than 64 KiB; the server goes on."""
    query = "&".join(f"job_id={uuid.uuid4()}" for _ in range(10_000))
    with contextlib.closing(http.client.HTTPConnection(*api.listener.getsockname())) as connection:
        # It is refused, and the connection closed, before all of it is sent; then the answer may be lost.
        with contextlib.suppress(ConnectionError):
            connection.request("GET", f"/api/v1/events/subscribe?{query}")
        with contextlib.suppress(ConnectionError):
            assert connection.getresponse().status in (400, 414, 431)
    assert api.http.get("/health").status_code == 200
    assert api.services.hub.open_streams == 0


def test_each_kind_is_counted_for_itself() -> None:
    admission = Admission(Limits(address=2, user=1, tenant=3))
    first = admission.enter(address="a", user="u1", tenant="t")
    assert admission.enter(address="a", user="u1", tenant="t") == Full("user", 1)
    second = admission.enter(address="a", user="u2", tenant="t")
    assert admission.enter(address="a", user="u3", tenant="t") == Full("address", 2)
    assert isinstance(admission.enter(address="b", tenant="t"), Place)
    assert admission.enter(address="b", user="u4", tenant="t") == Full("tenant", 3)
    assert isinstance(admission.enter(address="b", user="u4", tenant="other"), Place)
    assert isinstance(first, Place)
    first.leave()
    first.leave()
    assert (admission.count("address", "a"), admission.count("user", "u1")) == (1, 0)
    assert isinstance(admission.enter(address="a", user="u1", tenant="t"), Place)
    assert isinstance(second, Place)
