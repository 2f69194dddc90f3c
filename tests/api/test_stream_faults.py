"""Streams under trouble: slow readers, a ring that forgets, cuts, overload, drains, a Redis that dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from api_process import process
from live_api import Hand, LiveApi, log_events, project
from own_valkey import started
from sse_reader import Subscriber, data_of

from eventually import eventually
from ports import free_port
from triton.api.services import FeedOptions
from triton.events import client
from triton.feed.contract import Timing
from triton.feed.history import Page
from triton.settings import Settings

TINY = FeedOptions(ring_capacity=8)


def url_of(api: LiveApi, job: str) -> str:
    return f"{api.url}/api/v1/jobs/{job}/subscribe"


def test_a_slow_reader_that_fell_off_the_ring_misses_and_repeats_nothing(
    module_settings: Settings, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hand.submit("slow")
    hand.start(job)
    # Nobody reads while all is written, which takes a slow machine longer than clients have.
    patient = msgspec.structs.replace(module_settings, client_timeout_ms=300_000)
    with LiveApi(patient, TINY) as api, Subscriber(url_of(api, job)) as stream:
        stream.until("triton.caught-up")
        pages = []
        page = api.services.history.page

        async def counted(*args: Any, **options: Any) -> Page:
            pages.append(args)
            return await page(*args, **options)

        monkeypatch.setattr(api.services.history, "page", counted)
        for start in range(0, 1200, 100):
            hand.output(job, *(f"{n:06}" + "x" * 9000 for n in range(start, start + 100)))
            if start == 600:
                project(module_settings)
        hand.complete(job)
        chunks = [e.json["data"]["chunk"][:6] for e in stream if '"job.output"' in e.data]
    assert chunks == [f"{n:06}" for n in range(1200)]
    assert pages


def test_a_reader_that_pauses_gets_all_and_holds_up_nobody(
    module_settings: Settings, hand: Hand
) -> None:
    """Events go out on the spot until its connection takes no more; then its own task waits for it."""
    job = hand.submit("pausing")
    hand.start(job)
    count = 350
    patient = msgspec.structs.replace(module_settings, client_timeout_ms=300_000)
    with (
        LiveApi(patient) as api,
        Subscriber(url_of(api, job)) as pausing,
        Subscriber(url_of(api, job)) as reading,
    ):
        pausing.until("triton.caught-up")
        reading.until("triton.caught-up")
        for number in range(count):
            hand.output(job, f"{number:06}" + "x" * 20_000)
            assert next(reading).json["data"]["chunk"][:6] == f"{number:06}"
        hand.complete(job)
        chunks = [e.json["data"]["chunk"][:6] for e in pausing if '"job.output"' in e.data]
    assert chunks == [f"{number:06}" for number in range(count)]


@pytest.mark.parametrize("indexed", [0, 20, 41], ids=["log only", "index then log", "index only"])
def test_history_joins_the_ring_without_a_gap_at_every_cursor(
    module_settings: Settings, hand: Hand, indexed: int
) -> None:
    """The last 8 events are in the ring, the first `indexed` in the index, the rest in the log only."""
    settings = msgspec.structs.replace(
        module_settings, namespace=f"{module_settings.namespace}.{indexed}"
    )
    own = Hand(settings.redis_url, settings.namespace)
    job, other = own.submit("joint"), own.submit("other")
    own.start(job)
    own.start(other)
    own.output(job, *(str(n) for n in range(17)))
    if indexed == 20:
        project(settings)
    own.output(other, *("noise" for _ in range(5)))
    own.output(job, *(str(n) for n in range(17, 30)))
    own.complete(job, "done")
    if indexed == 41:
        project(settings)
    expected = [event.version for event in log_events(settings, job)]
    with LiveApi(settings, TINY) as api:
        with Subscriber(url_of(api, job)) as first:
            hello = next(first)
        with Subscriber(url_of(api, job), cursor=hello.id) as stream:
            events = [event for event in stream if not event.name]
        assert [event.json["version"] for event in events] == expected
        for index, event in enumerate(events[:-1]):
            with Subscriber(url_of(api, job), cursor=event.id) as stream:
                versions = [json.loads(data)["version"] for data in data_of(list(stream))]
            assert versions == expected[index + 1 :]


def test_trimmed_history_without_an_index_is_a_reset_never_silence(
    module_settings: Settings,
) -> None:
    settings = msgspec.structs.replace(
        module_settings, namespace=f"{module_settings.namespace}.trim"
    )
    hand = Hand(settings.redis_url, settings.namespace)
    job = hand.submit("trimmed")
    hand.start(job)
    hand.output(job, *(str(n) for n in range(50)))
    with LiveApi(settings, TINY) as api:
        with Subscriber(url_of(api, job)) as first:
            hello = next(first)
        hand.client.execute_command("XTRIM", hand.prefix(job) + "log", "MINID", "30-0")
        with Subscriber(url_of(api, job), cursor=hello.id) as stream:
            seen = stream.until("triton.caught-up")
        assert [e.name for e in seen[:3]] == ["triton.hello", "triton.reset", "triton.snapshot"]
        assert seen[1].json["reason"] == "trimmed"
        assert seen[2].json["version"] == 52


def follow(url: str, chance: random.Random, seen: list[str]) -> None:
    """A client that loses its connection at random and resumes until it is told to stay away."""
    with Subscriber(url) as stream:
        cursor = next(stream).id
    while True:
        with Subscriber(url, cursor=cursor) as stream:
            if stream.status == 204:
                return
            for event in stream:
                cursor = event.id
                if not event.name:
                    seen.append(event.data)
                if chance.random() < 0.03:
                    break


def test_clients_that_are_cut_at_random_see_the_log_exactly_once(
    module_settings: Settings, hand: Hand
) -> None:
    jobs = [hand.submit("cut", n) for n in range(3)]
    for job in jobs:
        hand.start(job)
    seen: list[list[str]] = [[] for _ in range(6)]
    with LiveApi(module_settings, FeedOptions(ring_capacity=32)) as api:
        threads = [
            threading.Thread(
                target=follow, args=(url_of(api, jobs[n % 3]), random.Random(n), seen[n])
            )
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for turn in range(30):
            for job in jobs:
                hand.output(job, *(f"{turn}.{n}" for n in range(4)))
            if turn == 15:
                project(module_settings)
        for job in jobs:
            hand.complete(job)
        for thread in threads:
            thread.join(timeout=200)
        eventually(lambda: api.services.hub.open_streams == 0)
    for number, mine in enumerate(seen):
        versions = [json.loads(data)["version"] for data in mine]
        assert versions == [e.version for e in log_events(module_settings, jobs[number % 3])]


def test_silence_is_a_comment_and_a_log_that_moves_on_is_a_named_cursor(
    module_settings: Settings, hand: Hand
) -> None:
    timing = Timing(heartbeat=0.05)
    job = hand.submit("quiet")
    with LiveApi(module_settings, FeedOptions(timing=timing)) as api:
        with Subscriber(url_of(api, job)) as stream:
            start = stream.until("triton.caught-up")[-1]
            hand.submit("another")
            moved = next(stream)
            assert (moved.name, moved.data) == ("triton.cursor", "{}")
            assert moved.id != start.id
            hand.submit("a third, later")
            while (event := next(stream)).name != "triton.cursor":
                pass
            assert event.id != moved.id
            hand.run(job)
            rest = list(stream)
        assert [e.json["version"] for e in rest if not e.name] == [2, 3, 4]
        raw = b""
        with httpx.stream("GET", url_of(api, hand.submit("still")), timeout=60) as response:
            for chunk in response.iter_raw():
                raw += chunk
                if b"\n\n:\n:\n" in raw:
                    break
        assert b":\n\n" not in raw


def test_a_connection_is_rotated_with_bye_and_goes_on_exactly(
    module_settings: Settings, hand: Hand
) -> None:
    job = hand.submit("rotate")
    with LiveApi(module_settings, FeedOptions(timing=Timing(rotate=0.2))) as api:
        with Subscriber(url_of(api, job)) as stream:
            bye = list(stream)[-1]
        assert (bye.name, bye.json["reason"]) == ("triton.bye", "rotate")
        assert stream.retry == bye.json["retry_ms"]
        hand.run(job)
        told, cursor = [bye], stream.last_id
        while told[-1].name == "triton.bye":
            # On a slow machine this one is rotated, too.
            with Subscriber(url_of(api, job), cursor=cursor) as again:
                told += again
                cursor = again.last_id
        assert [e.json["version"] for e in told if not e.name] == [2, 3, 4]


def test_overload_is_an_answer_that_a_browser_survives(
    module_settings: Settings, hand: Hand
) -> None:
    job = hand.submit("full")
    with LiveApi(module_settings, FeedOptions(max_streams=1)) as api:
        with Subscriber(url_of(api, job)) as first:
            first.until("triton.caught-up")
            with Subscriber(url_of(api, job)) as second:
                assert second.status == 200
                (bye,) = list(second)
            assert (bye.name, bye.json["reason"]) == ("triton.bye", "overloaded")
            assert second.retry is not None
        eventually(lambda: api.services.hub.open_streams == 0)
        with Subscriber(url_of(api, job)) as third:
            assert next(third).name == "triton.hello"


def test_a_client_that_never_reads_and_then_vanishes_is_let_go(
    module_settings: Settings, hand: Hand
) -> None:
    job = hand.submit("vanish")
    hand.start(job)
    with LiveApi(module_settings) as api:
        host, port = api.listener.getsockname()
        raw = socket.create_connection((host, port))
        raw.sendall(f"GET /api/v1/jobs/{job}/subscribe HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: api.services.hub.open_streams == 1)
        hand.output(job, *("y" * 20_000 for _ in range(100)))
        raw.close()
        eventually(lambda: api.services.hub.open_streams == 0)


def test_sigterm_drains_open_streams_and_the_process_ends_in_order(
    module_settings: Settings, hand: Hand
) -> None:
    job = hand.submit("drain")
    with (
        process(msgspec.structs.replace(module_settings, port=0)) as (child, url),
        contextlib.ExitStack() as open_streams,
    ):
        streams = [
            open_streams.enter_context(Subscriber(f"{url}/api/v1/jobs/{job}/subscribe"))
            for _ in range(5)
        ]
        for stream in streams:
            stream.until("triton.caught-up")
        child.send_signal(signal.SIGTERM)
        for stream in streams:
            bye = list(stream)[-1]
            assert (bye.name, bye.json["reason"]) == ("triton.bye", "draining")
        assert child.wait(timeout=60) == 0
        assert len({stream.retry for stream in streams}) > 1


def test_a_stream_outlives_kill_9_of_redis(module_settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    settings = msgspec.structs.replace(
        module_settings, redis_url=f"redis://127.0.0.1:{port}/0", namespace="killed"
    )
    server = started(port, tmp_path)
    try:
        hand = Hand(settings.redis_url, settings.namespace)
        job = hand.submit("outlive")
        hand.start(job)
        with LiveApi(settings) as api, Subscriber(url_of(api, job), timeout=60) as stream:
            stream.until("triton.caught-up")
            hand.output(job, "before")
            assert next(stream).json["data"]["chunk"] == "before"
            server.kill()
            server.wait()
            eventually(lambda: api.services.hub.trouble)
            with Subscriber(url_of(api, job)) as refused:
                (bye,) = list(refused)
            assert (refused.status, bye.name) == (200, "triton.bye")
            assert bye.json["reason"] == "unavailable"
            assert api.http.get("/health").status_code == 200
            assert api.http.get("/health/ready").status_code == 503
            server = started(port, tmp_path)
            hand.output(job, "after")
            hand.complete(job)
            rest = list(stream)
        assert [e.json["version"] for e in rest if not e.name] == [4, 5]
        assert rest[-1].name == "triton.end"
    finally:
        server.kill()
        server.wait()


def test_an_api_that_hung_itself_refuses_no_stream(
    module_settings: Settings, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read's time may be over because nobody looked at its answer: Redis is asked again before a stream is
    told that it is away."""
    monkeypatch.setattr(client, "SOCKET_TIMEOUT", 5.0)
    job = hand.submit("hung")
    with LiveApi(module_settings) as api, Subscriber(url_of(api, job), timeout=60) as stream:
        stream.until("triton.caught-up")
        # What a process that was stopped, or got no turn on its machine, looks like from inside.
        api.services.hub._tasks[0].get_loop().call_soon_threadsafe(time.sleep, 6.0)
        with Subscriber(url_of(api, job), timeout=60) as other:
            other.until("triton.caught-up")
        hand.start(job)
        assert next(stream).json["type"] == "job.started"


def test_a_log_that_lost_its_tail_stops_the_feed_instead_of_lying(
    module_settings: Settings, tmp_path: Path
) -> None:
    port = free_port()
    settings = msgspec.structs.replace(
        module_settings, redis_url=f"redis://127.0.0.1:{port}/0", namespace="lost"
    )
    server = started(port, tmp_path)
    try:
        hand = Hand(settings.redis_url, settings.namespace)
        job = hand.submit("lost")
        with LiveApi(settings) as api, Subscriber(url_of(api, job), timeout=60) as stream:
            stream.until("triton.caught-up")
            prefix = hand.prefix(job)
            hand.submit("a job that the failover loses")
            eventually(lambda: api.services.hub.ring(0).last == 2)
            hand.client.execute_command("XDEL", prefix + "log", "2-0")
            hand.client.hset(prefix + "meta", "pos", 1)
            hand.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            bye = list(stream)[-1]
            assert (bye.name, bye.json["reason"]) == ("triton.bye", "log")

            def told() -> str:
                """What readiness says of the feed."""
                ready = api.http.get("/health/ready").json()
                return str(ready["dependencies"]["feed"]["reason"])

            eventually(lambda: told() == "it stands still")
            assert "its tail was lost" in api.services.hub.trouble
            # Adopted; and once more without a position that would show it, as to who started meanwhile.
            for epoch in ("another", "a third"):
                hand.client.hset(prefix + "meta", "epoch", epoch)
                eventually(lambda epoch=epoch: api.services.hub.epoch(0) == epoch)
                eventually(lambda: not api.services.hub.trouble)
    finally:
        server.kill()
        server.wait()


def test_a_snapshot_that_is_ahead_of_the_ring_is_not_repeated(
    module_settings: Settings, hand: Hand
) -> None:
    """The state is read from Redis, which the ring follows a little later."""
    job = hand.submit("ahead")
    with LiveApi(module_settings) as api:
        hub, loop = api.services.hub, api.server._loop
        assert loop is not None
        eventually(lambda: hub.ring(0).newest() is not None)

        async def freeze() -> None:
            for task in hub._tasks:
                task.cancel()
            await asyncio.gather(*hub._tasks, return_exceptions=True)

        async def thaw() -> None:
            hub._tasks = [asyncio.create_task(tail.run()) for tail in hub._tails]

        asyncio.run_coroutine_threadsafe(freeze(), loop).result(timeout=30)
        still = hub.ring(0).last
        hand.start(job)
        hand.progress(job, 50)
        with Subscriber(url_of(api, job)) as stream:
            snapshot = stream.until("triton.caught-up")[1]
            assert snapshot.json["version"] == 3
            assert hub.ring(0).last == still
            asyncio.run_coroutine_threadsafe(thaw(), loop).result(timeout=30)
            hand.complete(job)
            rest = [event for event in stream if event.name != "triton.cursor"]
        assert [event.name for event in rest] == ["", "triton.end"]
        assert rest[0].json["version"] == 4
