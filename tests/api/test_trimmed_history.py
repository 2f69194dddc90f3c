"""After a trim, streams, histories and explanations are what they were before: the archive has the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_api import Hand, LiveApi, log_events, project
from sse_reader import Received, Subscriber, data_of

from archived_log import ArchivedLog
from triton import keys
from triton.api.services import FeedOptions
from triton.events.client import connect_async
from triton.events.log import Log
from triton.feed.cursor import Signer
from triton.feed.framer import Framer
from triton.feed.history import Page
from triton.feed.hub import Hub
from triton.settings import Settings

TINY = FeedOptions(ring_capacity=8)


class Place:
    """A log of its own with an archive, and one job of 53 events among others."""

    def __init__(self, settings: Settings, name: str, *, ends: bool = True) -> None:
        self.settings = msgspec.structs.replace(settings, namespace=f"{settings.namespace}.{name}")
        self.hand = Hand(self.settings.redis_url, self.settings.namespace)
        self.job, other = self.hand.submit("joint"), self.hand.submit("other")
        self.hand.start(self.job)
        self.hand.start(other)
        for turn in range(10):
            self.hand.output(self.job, *(f"{turn}.{n}" for n in range(5)))
            self.hand.output(other, *("noise" for _ in range(5)))
        if ends:
            self.hand.complete(self.job, "done")
        self.events = log_events(self.settings, self.job)
        self.versions = [event.version for event in self.events]

    def trim(self, sealed: int = 90, upto: int | None = None) -> None:
        with ArchivedLog.of(
            self.settings, block_events=16, database_url=self.settings.database_url
        ) as log:
            log.seal_all([sealed // 2, sealed])
            log.trim(upto)

    def url(self, api: LiveApi, what: str = "subscribe") -> str:
        return f"{api.url}/api/v1/jobs/{self.job}/{what}"


class TrimmedMeanwhile(Log):
    """An archiver trims right after somebody asked where the log begins."""

    upto = 0

    async def first_position(self, partition: int) -> int:
        first = await super().first_position(partition)
        key = keys.log(self.prefix(partition))
        await self.client.execute_command("XTRIM", key, "MINID", f"{self.upto}-0")
        return first


def versions(stream: Subscriber) -> list[int]:
    return [json.loads(data)["version"] for data in data_of(list(stream))]


def whole_history(api: LiveApi, place: Place) -> list[Received]:
    with Subscriber(place.url(api)) as first:
        hello = next(first)
    with Subscriber(place.url(api), cursor=hello.id) as stream:
        return [event for event in stream if not event.name]


def test_a_feed_starts_while_the_log_is_trimmed(module_settings: Settings) -> None:
    """Its ring begins where the log does, which another process moves on between two questions."""
    place = Place(module_settings, "begins", ends=False)

    async def started() -> tuple[int, int]:
        async with connect_async(place.settings.redis_url) as client:

            async def open_log() -> Log:
                log = TrimmedMeanwhile(client, place.settings.namespace, ["epoch"])
                log.upto = 40
                return log

            hub = Hub(open_log, Framer(Signer(b"key"), "/triton/test"))
            await hub.start()
            await hub.stop()
            return hub.ring(0).oldest, hub.ring(0).last

    end = int(place.hand.client.hget(keys.meta(place.hand.prefix(place.job)), "pos"))
    assert asyncio.run(started()) == (40, end)


@pytest.mark.parametrize("indexed", [False, True], ids=["by segments", "by the index"])
def test_a_cursor_whose_entries_were_trimmed_is_resumed_exactly(
    module_settings: Settings, indexed: bool
) -> None:
    place = Place(module_settings, f"resume{indexed}")
    if indexed:
        project(place.settings)
    with LiveApi(place.settings, TINY) as api:
        before = whole_history(api, place)
        assert [event.json["version"] for event in before] == place.versions
        place.trim()
        after = whole_history(api, place)
        # The exact same bytes and cursors, from wherever they are now.
        assert [(event.id, event.data) for event in after] == [
            (event.id, event.data) for event in before
        ]
        for index, event in enumerate(before[:-1]):
            with Subscriber(place.url(api), cursor=event.id) as stream:
                assert versions(stream) == place.versions[index + 1 :]


def test_a_trim_between_two_pages_is_not_noticed(
    module_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(module_settings, "between")
    with LiveApi(place.settings, TINY) as api:
        page = api.services.history.page
        pages = []

        async def small(*args: Any, **options: Any) -> Page:
            pages.append(args)
            if len(pages) == 3:
                place.trim(sealed=90, upto=85)
            return await page(*args, **{**options, "limit": 7})

        monkeypatch.setattr(api.services.history, "page", small)
        found = whole_history(api, place)
    assert [event.json["version"] for event in found] == place.versions
    assert len(pages) > 4


@pytest.fixture
def trimmed(module_settings: Settings, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A running job, of which the first 90 positions are in the archive only, and not in PostgreSQL."""
    place = Place(module_settings, request.node.name.partition("[")[0][5:30], ends=False)
    place.trim()
    yield place


def test_a_job_its_events_and_its_explanation_are_the_same_after_a_trim(
    module_settings: Settings,
) -> None:
    """Its arguments too, although its row was not written yet."""
    place = Place(module_settings, "json")
    with LiveApi(place.settings) as api:
        urls = [place.url(api, "events?limit=1000"), place.url(api, "explain"), place.url(api, "")]
        before = [api.http.get(url.rstrip("/")).json() for url in urls]
        place.trim()
        after = [api.http.get(url.rstrip("/")).json() for url in urls]
        assert len(after[0]["events"]) == len(place.versions)
        assert after == before
        assert after[2]["args"] == ["joint"]


@pytest.mark.parametrize("asked", ["", "&queue=default&type=job.output", "&actor=work"])
def test_who_follows_many_jobs_from_the_first_event_gets_what_was_trimmed(
    module_settings: Settings, asked: str
) -> None:
    place = Place(module_settings, f"many{len(asked)}")
    url = f"/api/v1/events/subscribe?from=earliest&limit=500{asked}"
    with LiveApi(place.settings, TINY) as api:
        before = api.http.get(url, headers={"Accept": "application/json"}).json()
        place.trim()
        after = api.http.get(url, headers={"Accept": "application/json"}).json()
    assert len(before["events"]) >= 100
    assert after["events"] == before["events"]


def test_while_the_archive_is_away_what_is_live_goes_on(trimmed: Place, tmp_path: Path) -> None:
    gone = msgspec.structs.replace(trimmed.settings, archive_url=(tmp_path / "no").as_uri())
    with LiveApi(gone, TINY) as api:
        with Subscriber(trimmed.url(api)) as stream:
            hello = stream.until("triton.caught-up")[0]
            trimmed.hand.output(trimmed.job, "live")
            assert next(stream).json["data"]["chunk"] == "live"
        with Subscriber(trimmed.url(api), cursor=hello.id) as stream:
            bye = list(stream)[-1]
        assert (bye.name, bye.json["reason"]) == ("triton.bye", "unavailable")
        answer = api.http.get(trimmed.url(api, "events"))
        assert answer.status_code == 503
        assert "is not in Redis any more" in answer.text
        assert api.http.get(trimmed.url(api, "explain")).status_code == 200


def test_without_postgresql_the_segments_say_where_a_job_is(trimmed: Place) -> None:
    away = trimmed.settings.database_url.replace("host=", "host=/nowhere")
    without = msgspec.structs.replace(trimmed.settings, database_url=away)
    with LiveApi(without, TINY) as api:
        with Subscriber(trimmed.url(api)) as first:
            hello = next(first)
        with Subscriber(trimmed.url(api), cursor=hello.id) as stream:
            seen = stream.until("triton.caught-up")
        found = [event.json["version"] for event in seen if not event.name]
        assert found == trimmed.versions
