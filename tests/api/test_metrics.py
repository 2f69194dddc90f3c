"""What Prometheus reads: requests by route, and the platform as it is now."""

from __future__ import annotations

import asyncio
import re

import msgspec
import pytest
from live_api import Hand, LiveApi, project
from prometheus_client.parser import text_string_to_metric_families

from eventually import eventually
from triton.api.metrics import of_redis
from triton.api.metrics.catalogue import METRICS
from triton.events.checks import note_check
from triton.events.client import connect_async
from triton.settings import Settings

JOBS = "/api/v1/jobs"
SCRAPE_OK = "triton_scrape_ok"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(api: LiveApi) -> Samples:
    """What is told once all sources answered in time, which on a slow machine may not be the first time."""

    def whole() -> Samples:
        found = told(api)
        away = [one for one, answered in found.items() if one[0] == SCRAPE_OK and not answered]
        assert away == []
        return found

    return eventually(whole)


def told(api: LiveApi) -> Samples:
    answer = api.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def test_requests_are_counted_by_template_whatever_their_path_is(api: LiveApi) -> None:
    job = api.http.post(JOBS, json={"actor": "a"}).json()["id"]
    for path in (f"{JOBS}/{job}", f"{JOBS}/no%2Fbody", f"{JOBS}/nobody2", f"/x/{job}", "/y"):
        api.http.get(path)
    api.http.request("BREW", "/health")
    found = scraped(api)
    of_one = {"route": f"{JOBS}/{{job_id}}", "method": "GET"}
    assert value(found, "triton_http_requests_total", **of_one, status="200") == 1
    assert value(found, "triton_http_requests_total", **of_one, status="404") == 2
    assert not any(name.endswith("_created") for name, _ in found)
    lost = {"route": "(none)", "method": "GET", "status": "404"}
    assert value(found, "triton_http_requests_total", **lost) == 2
    assert value(found, "triton_http_request_seconds_count", **of_one) == 3
    methods = {dict(labels).get("method") for _, labels in found}
    assert "BREW" not in methods
    assert not any(job in text for _, labels in found for _, text in labels)


def test_the_platform_is_told_as_it_is(module_settings: Settings) -> None:
    settings = msgspec.structs.replace(module_settings, namespace=f"{module_settings.namespace}.m")
    hand = Hand(settings.redis_url, settings.namespace)
    with LiveApi(settings) as api:
        for _ in range(3):
            hand.submit(queue="mail")
        project(settings)
        hand.run(hand.submit(queue="default"))
        hand.beat("w1", "mail")
        hand.beat("w2", "new")
        with api.http.stream("GET", "/api/v1/events/subscribe") as stream:
            pieces = stream.iter_raw()
            assert next(pieces)
            eventually(
                lambda: value(scraped(api), "triton_events_total", type="job.completed") == 1
            )
            found = scraped(api)
            assert value(found, "triton_streams") == 1
        assert value(found, "triton_queue_jobs", queue="mail", state="ready") == 3
        assert (value(found, "triton_queue_oldest_wait_seconds", queue="mail") or 0) > 0
        assert value(found, "triton_workers") == 2
        end = value(found, "triton_log_position", partition="0")
        assert end == value(found, "triton_log_entries", partition="0")
        of = {"projector": "postgres", "partition": "0"}
        assert value(found, "triton_projector_position", **of) == 3
        assert value(found, "triton_projector_lag_events", **of) == (end or 0) - 3
        assert (value(found, "triton_projector_lag_seconds", **of) or 0) > 0
        assert value(found, "triton_projector_forked", **of) == 0
        assert value(found, "triton_events_total", type="job.submitted") == 4
        assert value(found, "triton_feed_ok") == 1
        # Each once, although all of them see each other's log.
        assert value(found, "triton_jobs_total", queue="mail", event="submitted") == 3
        assert value(found, "triton_jobs_total", queue="default", event="completed") == 1
        assert value(found, "triton_jobs_total", queue="new", event="failed") == 0
        assert value(found, "triton_actor_jobs_total", actor="work", event="completed") == 1
        assert value(found, "triton_tenant_jobs_total", tenant="default", event="submitted") == 4
        assert value(found, "triton_job_wait_seconds_count", queue="default") == 1
        assert value(found, "triton_job_seconds_count", actor="work") == 1
        assert value(found, "triton_queue_backlog", queue="mail") == 3
        assert value(found, "triton_queue_workers", queue="mail") == 1
        assert value(found, "triton_queue_workers", queue="default") == 0
        # The one that projected gave its lease back, and nobody archives.
        assert value(found, "triton_projector_running", **of) == 0
        assert value(found, "triton_archiver_running", partition="0") == 0
        assert value(found, "triton_archive_sealed_position", partition="0") == 0
        assert (value(found, "triton_archive_unsigned_seconds", partition="0") or 0) > 0
        assert (value(found, "triton_log_bytes", partition="0") or 0) > 100
        assert (value(found, "triton_redis_memory_bytes", node="") or 0) > 1000
        assert (value(found, "triton_disk_free_bytes", of="archive") or 0) > 0


def test_all_that_the_catalogue_says_is_served(api: LiveApi) -> None:
    """Alerts and dashboards name what is in the catalogue (tests/observability), so it must be here, also
    before there is anything to count."""
    scraped(api)
    text = api.http.get("/metrics").text
    served = set(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    assert {(one.name, one.kind) for one in METRICS} <= served
    assert {name for name, _ in served if name.startswith("triton_")} == {m.name for m in METRICS}
    assert ("process_resident_memory_bytes", "gauge") in served


def test_what_a_verification_found_is_told(api: LiveApi, module_settings: Settings) -> None:
    async def note(ok: bool) -> None:
        async with connect_async(module_settings.redis_url) as client:
            await note_check(client, module_settings.namespace, "audit_verify", ok=ok)

    for ok in (False, True):
        asyncio.run(note(ok))
        found = scraped(api)
        assert value(found, "triton_check_ok", check="audit_verify") == ok
        assert (value(found, "triton_check_age_seconds", check="audit_verify") or 0) < 60
    assert value(found, "triton_check_ok", check="verify") is None


def test_streams_are_counted_by_what_they_are_handed_and_how_they_end(
    module_settings: Settings,
) -> None:
    settings = msgspec.structs.replace(
        module_settings, namespace=f"{module_settings.namespace}.s", streams_per_address=1
    )
    hand = Hand(settings.redis_url, settings.namespace)
    job = hand.submit()
    with LiveApi(settings) as api:
        with api.http.stream("GET", f"{JOBS}/{job}/subscribe") as stream:
            pieces = stream.iter_raw()
            assert next(pieces)
            assert api.http.get(f"{JOBS}/{job}/subscribe").status_code == 429
            hand.start(job)
            hand.complete(job)
            assert b"triton.end" in b"".join(pieces)
        found = scraped(api)
        assert value(found, "triton_feed_delivered_total") == 2
        # What was before this process is not counted as if it had happened now.
        assert value(found, "triton_jobs_total", queue="default", event="submitted") == 0
        assert value(found, "triton_actor_jobs_total", actor="work", event="completed") == 1
        assert value(found, "triton_streams_refused_total", reason="limited") == 1
        assert value(found, "triton_feed_past_reads_total") == 0
        with api.http.stream("GET", "/api/v1/events/subscribe?from=earliest") as stream:
            pieces = stream.iter_raw()
            assert next(pieces)
            eventually(lambda: value(scraped(api), "triton_feed_delivered_total") == 5)
            assert api.server._loop is not None
            api.server._loop.call_soon_threadsafe(api.services.hub.drain)
            assert b"triton.bye" in b"".join(pieces)
        found = scraped(api)
        assert value(found, "triton_streams_closed_total", reason="draining") == 1
        assert value(found, "triton_draining") == 1


def test_many_queues_make_no_more_series_than_there_is_room_for(
    api: LiveApi, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_redis, "MOST", 2)
    for count, queue in enumerate(("m1", "m2", "m3", "m4"), 1):
        for _ in range(count * 50):
            hand.submit(queue=queue)
    found = scraped(api)
    ready = {
        dict(labels)["queue"]: amount
        for (name, labels), amount in found.items()
        if name == "triton_queue_jobs" and dict(labels)["state"] == "ready"
    }
    assert ready.keys() == {"m4", "m3", "(others)"}
    assert ready["(others)"] >= 150
    assert (value(found, "triton_queues") or 0) >= 4


def test_a_source_that_is_away_takes_no_other_with_it(module_settings: Settings) -> None:
    away = "postgresql://triton@127.0.0.1:1/triton?connect_timeout=1"
    with LiveApi(msgspec.structs.replace(module_settings, database_url=away)) as api:

        def with_queues() -> Samples | None:
            found = told(api)
            return found if value(found, SCRAPE_OK, source="queues") else None

        found = eventually(with_queues)
    for source in ("projectors", "failed_jobs", "archive"):
        assert value(found, SCRAPE_OK, source=source) == 0
    assert value(found, "triton_log_position", partition="0") is not None
    assert value(found, "triton_projector_lag_events", projector="postgres", partition="0") is None


def test_two_processes_count_their_own_requests_and_tell_of_one_platform(
    module_settings: Settings, api: LiveApi
) -> None:
    with LiveApi(module_settings) as other:
        api.http.get("/api/v1/workers")
        labels = {"route": "/api/v1/workers", "method": "GET", "status": "200"}
        first, second = scraped(api), scraped(other)
        assert value(first, "triton_http_requests_total", **labels) == 1
        assert value(second, "triton_http_requests_total", **labels) is None
        for name in ("triton_log_position", "triton_log_entries"):
            assert value(first, name, partition="0") == value(second, name, partition="0")
