"""What is counted of the log: exactly, once, and with a bound on names and on memory."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import msgspec
from prometheus_client.core import Metric

from triton.api.http_metrics import HttpMetrics
from triton.api.metrics.families import MOST, OTHERS
from triton.api.metrics.job_figures import UNKNOWN, JobFigures
from triton.api.metrics.of_process import _quotas
from triton.api.metrics.of_redis import queue_families
from triton.api.queues import QueueView
from triton.events.entries import Entry
from triton.events.envelope import FIELDS
from triton.events.types import (
    Cancelled,
    Completed,
    Due,
    EventData,
    RetryScheduled,
    Started,
    Submitted,
    type_of,
)
from triton.events.types import Error as EventError

SECOND = 1_000_000
Samples = dict[tuple[str, tuple[str, ...]], float]


class Told:
    """A log of one partition."""

    def __init__(self, room: int = 20_000) -> None:
        self.figures = JobFigures(room)
        self.position = 0

    def __call__(
        self, job: str, at: float, data: EventData, *, queue: str = "q", tenant: str = "t"
    ) -> Entry:
        self.position += 1
        values: dict[bytes, Any] = dict.fromkeys(FIELDS, b"")
        values |= {
            b"type": type_of(data).encode(),
            b"job": job.encode(),
            b"at": b"%d" % int(at * SECOND),
            b"tenant": tenant.encode(),
            b"queue": queue.encode(),
            b"data": msgspec.msgpack.encode(data),
        }
        flat = [part for pair in values.items() for part in pair]
        entry = Entry(0, self.position, flat)
        self.figures.see("e", [entry])
        return entry

    def read(self) -> Samples:
        return samples(self.figures.families())


def samples(families: list[Metric]) -> Samples:
    return {
        (one.name, tuple(one.labels.values())): one.value
        for family in families
        for one in family.samples
        if one.value or "_bucket" not in one.name
    }


def submitted(actor: str = "a", due: float = 0) -> Submitted:
    return Submitted(actor=actor, body=b"{}", due=int(due * SECOND))


def test_a_job_is_counted_by_queue_actor_and_tenant_with_its_waits_and_durations() -> None:
    told = Told()
    told("1", 100, submitted())
    told("1", 103, Started(worker="w"))
    told("1", 104, RetryScheduled(error=EventError(type="E"), due=110 * SECOND))
    told("1", 110, Due())
    told("1", 112, Started(worker="w"))
    told("1", 120, Completed())
    told("2", 100, submitted("b", due=150))
    told("2", 150, Due())
    told("2", 151, Started(worker="w"))
    told("3", 100, submitted("never"))
    told("3", 900, Cancelled())
    found = told.read()
    assert ("triton_job_seconds_count", ("never",)) not in found, "it never ran"
    assert found["triton_jobs_total", ("q", "started")] == 3
    assert found["triton_jobs_total", ("q", "completed")] == 1
    assert found["triton_jobs_total", ("q", "failed")] == 0, "a series begins at 0"
    assert found["triton_actor_jobs_total", ("a", "retry_scheduled")] == 1
    assert found["triton_actor_jobs_total", ("b", "submitted")] == 1
    assert found["triton_tenant_jobs_total", ("t", "submitted")] == 3
    assert ("triton_tenant_jobs_total", ("t", "started")) not in found
    # 3 and 2 seconds of one job, and 1 of the other after it was due.
    assert found["triton_job_wait_seconds_sum", ("q",)] == 6
    assert found["triton_job_wait_seconds_count", ("q",)] == 3
    assert found["triton_job_wait_seconds_bucket", ("q", "1.0")] == 1
    assert found["triton_job_seconds_sum", ("a",)] == 1 + 8
    assert found["triton_events_total", ("job.submitted",)] == 3


def test_what_the_feed_reads_twice_is_counted_once_and_a_new_life_is_counted() -> None:
    told = Told()
    entries = [told(str(number), 100, submitted()) for number in range(3)]
    told.figures.see("e", entries)
    assert told.read()["triton_jobs_total", ("q", "submitted")] == 3
    told.figures.see("another", entries[2:])
    assert told.read()["triton_jobs_total", ("q", "submitted")] == 4


def test_what_was_before_the_process_is_not_counted_but_known() -> None:
    told = Told()
    told("1", 100, submitted())
    told.figures.forget()
    told("1", 105, Started(worker="w"))
    told("stranger", 105, Started(worker="w"))
    found = told.read()
    assert found["triton_jobs_total", ("q", "submitted")] == 0
    assert found["triton_job_wait_seconds_sum", ("q",)] == 5
    assert found["triton_actor_jobs_total", ("a", "started")] == 1
    assert found["triton_actor_jobs_total", (UNKNOWN, "started")] == 1


def test_a_queue_that_is_known_is_counted_from_0_on() -> None:
    told = Told()
    told.figures.expect(["new", "q"])
    assert told.read()["triton_jobs_total", ("new", "failed")] == 0
    told("1", 100, submitted())
    told.figures.forget()
    assert ("triton_jobs_total", ("new", "failed")) not in told.read()
    told.figures.expect(["new", "q"])
    told("2", 100, submitted())
    told.figures.expect(["new", "q"])
    found = told.read()
    assert found["triton_jobs_total", ("new", "failed")] == 0
    assert found["triton_jobs_total", ("q", "submitted")] == 1
    told.figures.expect([f"idle-{number}" for number in range(MOST + 1)])
    told("3", 100, submitted(), queue="busy")
    found = told.read()
    assert found["triton_jobs_total", ("busy", "submitted")] == 1, "idle queues took its name"


def test_beyond_its_room_a_sample_stands_for_all() -> None:
    """A list of all that wait would grow without bound; leaving the newest out would hide the long waits."""
    told = Told(room=500)
    for number in range(8000):
        told(f"job-{number}", 100, submitted("ab"[number % 2]))
    assert len(told.figures._open) <= 500
    for number in range(8000):
        told(f"job-{number}", 200, Started(worker="w"))
        told(f"job-{number}", 201, Completed())
    found = told.read()
    assert found["triton_jobs_total", ("q", "completed")] == 8000
    assert (
        4000
        < found["triton_actor_jobs_total", ("a", "started")]
        + found["triton_actor_jobs_total", ("b", "started")]
        < 16000
    )
    waits = found["triton_job_wait_seconds_count", ("q",)]
    assert 4000 < waits < 16000
    assert found["triton_job_wait_seconds_sum", ("q",)] == 100 * waits


def test_a_message_that_nobody_can_read_stops_nothing() -> None:
    told = Told()
    entry = told("1", 100, submitted())
    broken = [*entry.fields[:-1], b"\xc1"]
    told.figures.see("e", [Entry(0, 2, broken)])
    assert told.read()["triton_actor_jobs_total", (UNKNOWN, "submitted")] == 1


def view(name: str, ready: int) -> QueueView:
    return QueueView(
        name=name,
        state="open",
        held=None,
        ready=ready,
        due=0,
        running=0,
        oldest_wait_s=None,
        finished_per_minute=0,
        workers=0,
    )


def test_ten_thousand_names_make_a_bounded_number_of_series() -> None:
    told = Told()
    http = HttpMetrics()
    refused: Counter[tuple[str, str]] = Counter()
    for number in range(10_000):
        job, name = f"job-{number}", f"made-up-{number}"
        told(job, 100, submitted(name), queue=name, tenant=name)
        told(job, 101, Started(worker="w"), queue=name, tenant=name)
        told(job, 102, Completed(), queue=name, tenant=name)
        http.answered("(none)", f"M{number}", 404, 0.1)
        refused[name, "max_pending"] += 1
    services: Any = SimpleNamespace(
        gate=SimpleNamespace(refused=refused), limits=SimpleNamespace(limited=dict)
    )
    queues = queue_families([view(f"made-up-{number}", number) for number in range(10_000)])
    families = [*told.figures.families(), *http.collect(), *_quotas(services), *queues]
    by_name = Counter(one.name for family in families for one in family.samples)
    names = MOST + 1
    assert by_name["triton_jobs_total"] == 10 * names
    assert by_name["triton_actor_jobs_total"] == 10 * names
    assert by_name["triton_tenant_jobs_total"] == 4 * names
    assert by_name["triton_job_seconds_count"] == names
    assert by_name["triton_http_requests_total"] == 1
    assert by_name["triton_quota_refused_total"] == names
    assert by_name["triton_queue_backlog"] == names
    assert sum(by_name.values()) < 10_000
    found = samples(families)
    assert found["triton_jobs_total", (OTHERS, "completed")] == 10_000 - MOST
    assert found["triton_quota_refused_total", (OTHERS, "max_pending")] == 10_000 - MOST
    assert found["triton_queue_backlog", ("made-up-9999",)] == 9999
