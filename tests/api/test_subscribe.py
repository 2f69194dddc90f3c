"""The stream of one job: what a subscriber gets, whenever it comes and whatever it brings."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from live_api import Hand, LiveApi, log_events, project
from sse_reader import Subscriber, data_of

from eventually import eventually
from triton.api.services import FeedOptions
from triton.feed.cursor import Cursor, Signer, epoch_id

SubscribeUrl = Callable[[str], str]

NASTY = [
    "CR \r LF \n CRLF \r\n end",
    "\n\nid: 1\ndata: forged\n\n",
    "line\u2028para\u2029next\u0085",
    "nul \0 bom \ufeff emoji \U0001f600",
    "event: triton.end",
    "",
    "x" * 100_000,
]


@pytest.fixture(scope="module")
def done(hand: Hand, api: LiveApi) -> str:
    """A completed job with payloads that try to break out of their frame."""
    job = hand.submit(*NASTY, text="\r\n\0\u2028")
    hand.start(job)
    hand.progress(job, 10, "a\r\nb")
    hand.output(job, *NASTY)
    hand.progress(job, 90, "late")
    hand.complete(job, {"nasty": NASTY})
    last = log_events(api.settings, job)[-1].position
    eventually(lambda: api.services.hub.ring(0).last >= last)
    return job


@pytest.fixture(scope="module")
def full(api: LiveApi, done: str) -> list[tuple[str, str]]:
    """(cursor, data) of every event of `done`, from the origin that hello gives."""
    url = f"{api.url}/api/v1/jobs/{done}/subscribe"
    with Subscriber(url) as first:
        hello = next(first)
    with Subscriber(url, cursor=hello.id) as whole:
        return [(event.id, event.data) for event in whole.until("triton.end") if not event.name]


def test_a_finished_job_is_hello_snapshot_end(subscribe_url: SubscribeUrl, done: str) -> None:
    with Subscriber(subscribe_url(done)) as stream:
        hello, snapshot, end = list(stream)
        raw = bytes(stream.raw)
    assert [hello.name, snapshot.name, end.name] == [
        "triton.hello",
        "triton.snapshot",
        "triton.end",
    ]
    assert hello.json["requested"] is None
    assert hello.json["effective"] == hello.id
    view = snapshot.json
    assert (view["id"], view["state"], view["percent"]) == (done, "completed", 100.0)
    assert view["result"] == {"nasty": NASTY}
    assert end.json == {"state": "completed", "job": done}
    assert stream.retry is not None
    assert 1000 <= stream.retry <= 3000
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert stream.response.headers["x-accel-buffering"] == "no"
    assert "no-store" in stream.response.headers["cache-control"]
    assert "content-length" not in stream.response.headers
    assert b"\r" not in raw


def test_whoever_returns_at_or_past_the_end_gets_204(
    subscribe_url: SubscribeUrl, done: str, full: list[tuple[str, str]]
) -> None:
    with Subscriber(subscribe_url(done)) as stream:
        end = stream.until("triton.end")[-1]
    for cursor in (full[-1][0], end.id):
        with Subscriber(subscribe_url(done), cursor=cursor) as again:
            assert again.status == 204
            assert list(again) == []


def test_every_event_is_the_log_s_own_in_order_without_a_gap(
    api: LiveApi, done: str, full: list[tuple[str, str]]
) -> None:
    events = log_events(api.settings, done)
    shown = [json.loads(data) for _, data in full]
    assert [s["version"] for s in shown] == list(range(1, len(events) + 1))
    assert [s["position"] for s in shown] == [e.position for e in events]
    assert [s["type"] for s in shown] == [e.type for e in events]
    assert shown[0]["data"]["args"] == NASTY
    assert shown[0]["data"]["kwargs"] == {"text": "\r\n\0\u2028"}
    assert [s["data"]["chunk"] for s in shown if s["type"] == "job.output"] == NASTY
    assert shown[-1]["data"]["result"] == {"nasty": NASTY}
    assert len({cursor for cursor, _ in full}) == len(full)


def test_resume_gives_exactly_what_follows_at_every_position(
    subscribe_url: SubscribeUrl, done: str, full: list[tuple[str, str]]
) -> None:
    for index, (cursor, _) in enumerate(full[:-1]):
        by_query = index % 2 == 1
        with Subscriber(
            subscribe_url(done),
            cursor=None if by_query else cursor,
            query=cursor if by_query else None,
        ) as stream:
            seen = list(stream)
        assert [(e.id, e.data) for e in seen if not e.name] == full[index + 1 :]
        assert [e.name for e in seen if e.name] == ["triton.hello", "triton.end"]
        assert seen[0].json["requested"] == cursor
        assert seen[0].id == cursor


def test_resume_from_the_index_shows_the_same_bytes(
    api: LiveApi, subscribe_url: SubscribeUrl, done: str, full: list[tuple[str, str]]
) -> None:
    """A ring that has forgotten the job, and a projector that is up to date."""
    project(api.settings)
    with LiveApi(api.settings, _tiny()) as other:
        url = f"{other.url}/api/v1/jobs/{done}/subscribe"
        with Subscriber(url, cursor=full[2][0]) as stream:
            assert data_of(list(stream)) == [data for _, data in full[3:]]


def test_the_header_wins_over_the_query(
    subscribe_url: SubscribeUrl, done: str, full: list[tuple[str, str]]
) -> None:
    with Subscriber(subscribe_url(done), cursor=full[4][0], query=full[0][0]) as stream:
        assert data_of(list(stream)) == [data for _, data in full[5:]]


def test_a_cursor_that_is_none_gets_reset_with_its_reason_then_a_snapshot(
    api: LiveApi, hand: Hand, subscribe_url: SubscribeUrl, done: str, full: list[tuple[str, str]]
) -> None:
    signer: Signer = api.services.framer.signer
    epoch = epoch_id(api.services.hub.log(0).epochs)
    good = full[3][0]
    cursors = {
        "garbage!": "invalid",
        "0": "invalid",
        "A" * 200: "invalid",
        good[:-1]: "invalid",
        good[:-1] + ("A" if good[-1] != "A" else "B"): "invalid",
        Signer(b"another key").write(Cursor(epoch, 0, (3,)), "default"): "invalid",
        signer.write(Cursor(epoch, 0, (3,)), "other-tenant"): "invalid",
        signer.write(Cursor(epoch_id(("elsewhere",)), 0, (3,)), "default"): "epoch",
        signer.write(Cursor(epoch, 0, (10**9,)), "default"): "future",
        signer.write(Cursor(epoch, 7, (3,)), "default"): "partition",
    }
    for cursor, reason in cursors.items():
        with Subscriber(subscribe_url(done), cursor=cursor) as stream:
            assert stream.status == 200
            seen = list(stream)
        assert [e.name for e in seen] == [
            "triton.hello",
            "triton.reset",
            "triton.snapshot",
            "triton.end",
        ], cursor
        assert seen[1].json["reason"] == reason, cursor


def test_a_subscriber_of_a_running_job_is_told_everything_live(
    hand: Hand, subscribe_url: SubscribeUrl
) -> None:
    job = hand.submit("live")
    with Subscriber(subscribe_url(job)) as stream:
        begin = stream.until("triton.caught-up")
        assert [e.name for e in begin] == ["triton.hello", "triton.snapshot", "triton.caught-up"]
        assert begin[1].json["state"] == "pending"
        hand.start(job)
        assert next(stream).json["type"] == "job.started"
        hand.progress(job, 25, "quarter")
        progressed = next(stream).json
        assert progressed["data"] == {"percent": 25.0, "stage": "quarter"}
        assert progressed["specversion"] == "1.0"
        assert progressed["subject"] == job
        assert progressed["by"] == "worker:w1"
        hand.complete(job, 7)
        rest = list(stream)
    assert [e.name for e in rest] == ["", "triton.end"]
    assert [s.json["version"] for s in rest if not s.name] == [4]


def test_snapshot_and_deltas_join_however_early_the_cut(
    hand: Hand, subscribe_url: SubscribeUrl
) -> None:
    """A client that lost the connection right after hello has missed nothing."""
    job = hand.run(hand.submit("early"))
    with Subscriber(subscribe_url(job)) as stream:
        hello = next(stream)
    with Subscriber(subscribe_url(job), cursor=hello.id) as stream:
        assert [e.json["version"] for e in stream if not e.name] == [1, 2, 3, 4]
    running = hand.submit("early")
    with Subscriber(subscribe_url(running)) as stream:
        snapshot = stream.until("triton.snapshot")[-1]
    hand.run(running)
    with Subscriber(subscribe_url(running), cursor=snapshot.id) as stream:
        assert [e.json["version"] for e in stream if not e.name] == [2, 3, 4]


def test_the_cursor_of_a_read_is_where_the_stream_goes_on(
    api: LiveApi, hand: Hand, subscribe_url: SubscribeUrl
) -> None:
    job = hand.submit("read")
    view = api.http.get(f"/api/v1/jobs/{job}").json()
    hand.run(job)
    with Subscriber(subscribe_url(job), cursor=view["cursor"]) as stream:
        assert [e.json["version"] for e in stream if not e.name] == [2, 3, 4]


def test_a_requeued_job_goes_on_for_who_had_seen_its_end(
    api: LiveApi, hand: Hand, subscribe_url: SubscribeUrl
) -> None:
    job = hand.submit("again")
    hand.start(job)
    hand.fail(job)
    with Subscriber(subscribe_url(job)) as stream:
        end = list(stream)[-1]
    assert end.json["state"] == "failed"
    assert (
        api.http.post(f"/api/v1/jobs/{job}/requeue", json={"reason": "a test"}).status_code == 202
    )
    with Subscriber(subscribe_url(job), cursor=end.id) as stream:
        assert next(stream).name == "triton.hello"
        assert next(stream).json["type"] == "job.requeued"
        hand.run(job)
        rest = list(stream)
    assert rest[-1].json["state"] == "completed"


def test_a_job_that_never_was_is_404_in_the_error_shape(api: LiveApi) -> None:
    answer = api.http.get("/api/v1/jobs/nobody/subscribe")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def _tiny() -> FeedOptions:
    return FeedOptions(ring_capacity=2)
