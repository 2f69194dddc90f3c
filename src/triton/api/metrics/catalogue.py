"""Owns the list of all metrics: name, type, labels, unit and meaning, and of what each speaks. Pure.

docs/reference/metrics.md is made from it, and nothing is served that is not in it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
#: Of this process alone; counted of the log by each process, since it began; or read from the engines.
Scope: TypeAlias = Literal["process", "log", "platform"]


class Metric(msgspec.Struct, frozen=True):
    """One metric, by the name that queries use."""

    name: str
    kind: Kind
    of: Scope
    labels: tuple[str, ...]
    unit: str
    about: str


def _group(of: Scope, *rows: tuple[str, Kind, str, str, str]) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"triton_{name}", kind, of, tuple(labels.split()), unit, about)
        for name, kind, labels, unit, about in rows
    )


METRICS: Final = (
    *_group(
        "process",
        (
            "http_requests_total",
            "counter",
            "route method status",
            "requests",
            "Answers that began, by the route's template; `(none)` where no route took the request.",
        ),
        (
            "http_request_seconds",
            "histogram",
            "route method",
            "seconds",
            "Until the answer began; a stream's length is not in it.",
        ),
        ("streams", "gauge", "", "streams", "Open live streams."),
        (
            "streams_closed_total",
            "counter",
            "reason",
            "streams",
            "Streams that the server ended before their end, by the reason that their `triton.bye` says.",
        ),
        (
            "streams_refused_total",
            "counter",
            "reason",
            "streams",
            "Streams that were not opened: `limited` (of a user, address or tenant), `overloaded`, "
            "`unavailable`, `draining`.",
        ),
        (
            "feed_delivered_total",
            "counter",
            "",
            "events",
            "Events handed to streams, each once for each stream. None is ever dropped: see the next one.",
        ),
        (
            "feed_past_reads_total",
            "counter",
            "",
            "reads",
            "Pages that streams read of the past, because the ring no longer reached back to them.",
        ),
        ("feed_ok", "gauge", "", "0 or 1", "1 while the feed follows the log."),
        ("draining", "gauge", "", "0 or 1", "1 while the process ends."),
        (
            "quota_refused_total",
            "counter",
            "tenant quota",
            "requests",
            "Requests that were refused for a quota, or for the streams that any tenant may have "
            "(`max_streams`); the first 100 pairs, then `(others)`.",
        ),
        (
            "quota_limit",
            "gauge",
            "tenant quota",
            "",
            "What a tenant may use; of 100 tenants with quotas that asked this process for something.",
        ),
        (
            "quota_streams",
            "gauge",
            "tenant",
            "streams",
            "Open streams of those of these tenants that have `max_streams`.",
        ),
        (
            "disk_free_bytes",
            "gauge",
            "of",
            "bytes",
            "Free on the disk of TRITON_DATA (`data`), and of an archive that is a folder (`archive`).",
        ),
        ("disk_bytes", "gauge", "of", "bytes", "Size of the same disks."),
    ),
    *_group(
        "log",
        ("events_total", "counter", "type", "events", "Events of the log, by type."),
        (
            "jobs_total",
            "counter",
            "queue event",
            "jobs",
            "What happened to jobs: `submitted`, `started`, `completed`, `failed`, `cancelled`, "
            "`retry_scheduled`, `snoozed`, `released`, `lease_lost`, `requeued`.",
        ),
        (
            "actor_jobs_total",
            "counter",
            "actor event",
            "jobs",
            "The same by actor; `(unknown)` for jobs that were submitted before this process saw the log.",
        ),
        (
            "tenant_jobs_total",
            "counter",
            "tenant event",
            "jobs",
            "The same by tenant; only `submitted`, `completed`, `failed` and `cancelled`.",
        ),
        (
            "job_seconds",
            "histogram",
            "actor",
            "seconds",
            "How long attempts ran, from `started` to how they ended.",
        ),
        (
            "job_wait_seconds",
            "histogram",
            "queue",
            "seconds",
            "How long jobs waited from when they could start until they started.",
        ),
    ),
    *_group(
        "platform",
        (
            "scrape_ok",
            "gauge",
            "source",
            "0 or 1",
            "0 where a source (`log`, `redis`, `queues`, `projectors`, `failed_jobs`, `archive`) did not "
            "answer within 3 s: its metrics are left out then.",
        ),
        (
            "log_position",
            "gauge",
            "partition",
            "positions",
            "The last position: its rate is events.",
        ),
        ("log_entries", "gauge", "partition", "events", "Entries that are in Redis."),
        (
            "log_bytes",
            "gauge",
            "partition",
            "bytes",
            "Memory of these entries in Redis, by a sample.",
        ),
        (
            "redis_memory_bytes",
            "gauge",
            "node",
            "bytes",
            "Memory that the server uses; `node` is empty for a single one.",
        ),
        (
            "redis_memory_limit_bytes",
            "gauge",
            "node",
            "bytes",
            "Its `maxmemory`, or the machine's memory where it has none: when it is full, no job is taken.",
        ),
        (
            "redis_durable",
            "gauge",
            "node",
            "0 or 1",
            "1 where the append-only file is on and the last write of it was well.",
        ),
        (
            "redis_noeviction",
            "gauge",
            "node",
            "0 or 1",
            "1 where `maxmemory-policy` is `noeviction`.",
        ),
        (
            "queue_jobs",
            "gauge",
            "queue state",
            "jobs",
            "Jobs: `ready`, `due` later, or `running` (leases).",
        ),
        (
            "queue_backlog",
            "gauge",
            "queue",
            "jobs",
            "Jobs that want a worker now: ready and running. What to scale workers by.",
        ),
        (
            "queue_oldest_wait_seconds",
            "gauge",
            "queue",
            "seconds",
            "How long the job that is next has waited; 0 where none waits.",
        ),
        ("queue_held", "gauge", "queue", "0 or 1", "1 where it is paused or drained."),
        (
            "queue_workers",
            "gauge",
            "queue",
            "processes",
            "Living worker processes that take its jobs.",
        ),
        ("queues", "gauge", "", "queues", "Queues that there are."),
        (
            "workers",
            "gauge",
            "",
            "processes",
            "Worker processes whose heart beat within their lease.",
        ),
        ("worker_threads", "gauge", "", "jobs", "Jobs that they can run at once."),
        ("worker_busy", "gauge", "", "jobs", "Jobs that they hold now."),
        (
            "projector_lag_events",
            "gauge",
            "projector partition",
            "positions",
            "Positions behind the log.",
        ),
        (
            "projector_lag_seconds",
            "gauge",
            "projector partition",
            "seconds",
            "Age of the oldest event that was not applied.",
        ),
        (
            "projector_position",
            "gauge",
            "projector partition",
            "positions",
            "The position reached.",
        ),
        (
            "projector_parked",
            "gauge",
            "projector partition",
            "events",
            "Events that were put aside.",
        ),
        (
            "projector_forked",
            "gauge",
            "projector partition",
            "0 or 1",
            "1 where the log is not the one that was read.",
        ),
        (
            "projector_running",
            "gauge",
            "projector partition",
            "0 or 1",
            "1 where a living process holds the lease.",
        ),
        ("failed_jobs", "gauge", "queue", "jobs", "Jobs in the state `failed`: the dead letters."),
        (
            "archiver_running",
            "gauge",
            "partition",
            "0 or 1",
            "1 where a living process holds the lease.",
        ),
        (
            "archive_sealed_position",
            "gauge",
            "partition",
            "positions",
            "Sealed up to this position.",
        ),
        (
            "archive_signed_position",
            "gauge",
            "partition",
            "positions",
            "Signed up to this position.",
        ),
        (
            "archive_unsealed_seconds",
            "gauge",
            "partition",
            "seconds",
            "Age of the oldest event that is not sealed.",
        ),
        (
            "archive_unsigned_seconds",
            "gauge",
            "partition",
            "seconds",
            "Age of the oldest event that no signed head covers.",
        ),
        (
            "archive_head_age_seconds",
            "gauge",
            "partition",
            "seconds",
            "Since the newest head was signed: one a minute while nothing happens.",
        ),
        (
            "archive_segments",
            "gauge",
            "partition",
            "segments",
            "Sealed segments that did not expire.",
        ),
        ("archive_bytes", "gauge", "partition", "bytes", "Their bytes."),
        (
            "archive_trimmed_position",
            "gauge",
            "partition",
            "positions",
            "The last position that left Redis.",
        ),
        (
            "role_errors_total",
            "counter",
            "role kind",
            "times",
            "How often a `projector`, an `archiver` or the feed of `webhooks` was `halted` by the log or the "
            "archive, was `waiting` for an engine, was `replaced`, or found `no_schema`; since the log "
            "began.",
        ),
        (
            "check_ok",
            "gauge",
            "check",
            "0 or 1",
            "What the last `triton audit verify` (`audit_verify`) or `triton verify` found: 1 well.",
        ),
        ("check_age_seconds", "gauge", "check", "seconds", "Since then."),
    ),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
