"""What Prometheus reads: requests by route, and the platform as it is now."""

from __future__ import annotations

import msgspec
import pytest
from live_api import Hand, LiveApi, project
from prometheus_client.parser import text_string_to_metric_families

from eventually import eventually
from triton.api import platform_metrics
from triton.settings import Settings

JOBS = "/api/v1/jobs"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(api: LiveApi) -> Samples:
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
        assert value(found, "triton_workers") == 1
        end = value(found, "triton_log_position", partition="0")
        assert end == value(found, "triton_log_entries", partition="0")
        of = {"projector": "postgres", "partition": "0"}
        assert value(found, "triton_projector_position", **of) == 3
        assert value(found, "triton_projector_lag_events", **of) == (end or 0) - 3
        assert (value(found, "triton_projector_lag_seconds", **of) or 0) > 0
        assert value(found, "triton_projector_forked", **of) == 0
        assert value(found, "triton_events_total", type="job.submitted") == 4
        assert value(found, "triton_feed_ok") == 1


def test_many_queues_make_no_more_series_than_there_is_room_for(
    api: LiveApi, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_metrics, "MAX_QUEUES", 2)
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
        found = scraped(api)
    assert value(found, "triton_scrape_ok", source="projectors") == 0
    assert value(found, "triton_scrape_ok", source="queues") == 1
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
