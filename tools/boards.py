"""What the Grafana dashboards show: for each panel its title, what it means, its unit and its queries."""

from __future__ import annotations

from typing import NamedTuple


class Panel(NamedTuple):
    """`queries` are (expression, legend). `kind` is Grafana's: timeseries or stat."""

    title: str
    about: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    stacked: bool = False


class Board(NamedTuple):
    """`choice` is a label of a metric that one may choose values of: (label, metric)."""

    uid: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    choice: tuple[str, str] | None = None


def _rate(metric: str, by: str, of: str = "") -> str:
    """Of a counter of the log: all API processes count the same."""
    return f"max by ({by}) (rate({metric}{of}[$__rate_interval]))"


def _of_log(quantile: str, metric: str, label: str, of: str = "") -> str:
    return (
        f"histogram_quantile({quantile}, max by (le, {label}) "
        f"(rate({metric}_bucket{of}[$__rate_interval])))"
    )


_ROUTES = '{route!~"/health.*|/ready|/metrics"}'
_QUEUE = '{queue=~"$queue"}'


def _queue(event: str) -> str:
    return f'{{queue=~"$queue", event="{event}"}}'


_API = Board(
    "triton-api",
    "Triton / API",
    "Requests of the API processes, live streams, and what Redis and PostgreSQL answer them.",
    (
        Panel(
            "Requests",
            "Answers that began, by status; probes and scrapes are left out.",
            "reqps",
            (
                (
                    f"sum by (status) (rate(triton_http_requests_total{_ROUTES}[$__rate_interval]))",
                    "{{status}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Errors",
            "Part of the requests that ended with 5xx. 503 says that an engine is away, 500 is a bug.",
            "percentunit",
            (
                (
                    '(sum(rate(triton_http_requests_total{status=~"5.."}[$__rate_interval])) or vector(0)) / '
                    "sum(rate(triton_http_requests_total[$__rate_interval]))",
                    "5xx",
                ),
            ),
        ),
        Panel(
            "Time until the answer began",
            "Of all routes but probes and streams.",
            "s",
            tuple(
                (
                    f"histogram_quantile({quantile}, sum by (le) (rate(triton_http_request_seconds_bucket"
                    '{route!~"/health.*|/ready|/metrics|.*/(subscribe|export)"}[$__rate_interval])))',
                    f"p{round(float(quantile) * 100)}",
                )
                for quantile in ("0.5", "0.95", "0.99")
            ),
        ),
        Panel(
            "Busiest routes",
            "The ten route templates with most requests.",
            "reqps",
            (
                (
                    "topk(10, sum by (route, method) (rate(triton_http_requests_total[$__rate_interval])))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Slowest routes",
            "The ten route templates with the greatest p95.",
            "s",
            (
                (
                    "topk(10, histogram_quantile(0.95, sum by (le, route, method) "
                    "(rate(triton_http_request_seconds_bucket[$__rate_interval]))))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Routes that fail",
            "Answers with 5xx by route template.",
            "reqps",
            (
                (
                    "sum by (route, method, status) "
                    '(rate(triton_http_requests_total{status=~"5.."}[$__rate_interval]))',
                    "{{status}} {{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Live streams",
            "Open streams of each process.",
            "short",
            (("triton_streams", "{{instance}}"),),
            stacked=True,
        ),
        Panel(
            "Events delivered",
            "Events handed to streams, each once for each stream, and pages that streams read of the past.",
            "short",
            (
                ("sum(rate(triton_feed_delivered_total[$__rate_interval]))", "events/s"),
                (
                    "sum(rate(triton_feed_past_reads_total[$__rate_interval]))",
                    "pages of the past/s",
                ),
            ),
        ),
        Panel(
            "Streams closed and refused",
            "By the server, by reason. `rotate` is ordinary: clients come back with their cursor.",
            "short",
            (
                (
                    "sum by (reason) (rate(triton_streams_closed_total[$__rate_interval]))",
                    "closed: {{reason}}",
                ),
                (
                    "sum by (reason) (rate(triton_streams_refused_total[$__rate_interval]))",
                    "refused: {{reason}}",
                ),
            ),
        ),
        Panel(
            "Feed follows the log",
            "1 where a process follows the log; 0 means that its streams stand still.",
            "bool_yes_no",
            (("triton_feed_ok", "{{instance}}"),),
            kind="stat",
        ),
        Panel(
            "Engines answer",
            "Whether any API process got an answer from each source of these figures within 3 s.",
            "bool_yes_no",
            (("max by (source) (triton_scrape_ok)", "{{source}}"),),
            kind="stat",
        ),
        Panel(
            "Memory of the processes",
            "Resident memory of each API process.",
            "bytes",
            (('process_resident_memory_bytes{job="triton"}', "{{instance}}"),),
        ),
    ),
)

_JOBS = Board(
    "triton-jobs",
    "Triton / Jobs and queues",
    "What comes in, what waits, what becomes of it.",
    (
        Panel(
            "Submitted",
            "Jobs submitted, by queue.",
            "ops",
            ((_rate("triton_jobs_total", "queue", _queue("submitted")), "{{queue}}"),),
            stacked=True,
        ),
        Panel(
            "Completed",
            "Jobs that an actor ended well, by queue.",
            "ops",
            ((_rate("triton_jobs_total", "queue", _queue("completed")), "{{queue}}"),),
            stacked=True,
        ),
        Panel(
            "Failed and retried",
            "Jobs that failed for good, attempts that will be retried, workers that died under one.",
            "ops",
            tuple(
                (_rate("triton_jobs_total", "queue", _queue(event)), f"{event} {{{{queue}}}}")
                for event in ("failed", "retry_scheduled", "lease_lost")
            ),
        ),
        Panel(
            "Waiting",
            "Jobs that may start now, by queue.",
            "short",
            (
                (
                    'max by (queue) (triton_queue_jobs{queue=~"$queue", state="ready"})',
                    "{{queue}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Scheduled and running",
            "Jobs that are due later, and jobs under a worker's lease.",
            "short",
            (
                (
                    "max by (queue, state) "
                    '(triton_queue_jobs{queue=~"$queue", state=~"due|running"})',
                    "{{queue}} {{state}}",
                ),
            ),
        ),
        Panel(
            "Oldest wait",
            "How long the job that is next has waited.",
            "s",
            ((f"max by (queue) (triton_queue_oldest_wait_seconds{_QUEUE})", "{{queue}}"),),
        ),
        Panel(
            "Wait until started",
            "How long jobs waited that started, p50 and p95.",
            "s",
            (
                (_of_log("0.5", "triton_job_wait_seconds", "queue", _QUEUE), "p50 {{queue}}"),
                (_of_log("0.95", "triton_job_wait_seconds", "queue", _QUEUE), "p95 {{queue}}"),
            ),
        ),
        Panel(
            "Duration",
            "How long attempts ran, p50 and p95 by actor.",
            "s",
            (
                (_of_log("0.5", "triton_job_seconds", "actor"), "p50 {{actor}}"),
                (_of_log("0.95", "triton_job_seconds", "actor"), "p95 {{actor}}"),
            ),
        ),
        Panel(
            "Ended by actor",
            "Jobs completed and failed, by actor.",
            "ops",
            (
                (
                    _rate("triton_actor_jobs_total", "actor, event", '{event=~"completed|failed"}'),
                    "{{actor}} {{event}}",
                ),
            ),
        ),
        Panel(
            "Dead letters",
            "Jobs in the state failed, by queue: `triton dead` lists them.",
            "short",
            ((f"max by (queue) (triton_failed_jobs{_QUEUE})", "{{queue}}"),),
        ),
        Panel(
            "Paused or drained",
            "1 where a queue is held; `triton queues` says by whom and why.",
            "bool_yes_no",
            ((f"max by (queue) (triton_queue_held{_QUEUE})", "{{queue}}"),),
            kind="stat",
        ),
        Panel(
            "Queues",
            "How many there are. The 100 with most jobs are told apart here.",
            "short",
            (("max(triton_queues)", "queues"),),
            kind="stat",
        ),
    ),
    choice=("queue", "triton_queue_jobs"),
)

_WORKERS = Board(
    "triton-workers",
    "Triton / Workers",
    "Who works, how busy they are, and what they are scaled by.",
    (
        Panel(
            "Worker processes",
            "Whose heart beat within their lease.",
            "short",
            (("max(triton_workers)", "processes"),),
        ),
        Panel(
            "Slots",
            "Jobs that the living workers can run at once, and those that they hold.",
            "short",
            (("max(triton_worker_threads)", "slots"), ("max(triton_worker_busy)", "busy")),
        ),
        Panel(
            "Utilization",
            "Busy slots of all slots. Near 100 % with a backlog: add workers.",
            "percentunit",
            (("max(triton_worker_busy) / (max(triton_worker_threads) > 0)", "busy"),),
        ),
        Panel(
            "Workers by queue",
            "Living worker processes that take the jobs of a queue.",
            "short",
            (("max by (queue) (triton_queue_workers)", "{{queue}}"),),
        ),
        Panel(
            "Backlog",
            "Jobs ready and running by queue: what workers are scaled by.",
            "short",
            (("max by (queue) (triton_queue_backlog)", "{{queue}}"),),
            stacked=True,
        ),
        Panel(
            "Started",
            "Attempts that began, by queue.",
            "ops",
            ((_rate("triton_jobs_total", "queue", '{event="started"}'), "{{queue}}"),),
            stacked=True,
        ),
        Panel(
            "Time at work",
            "Seconds of actors' work per second, by actor: how many slots each takes.",
            "short",
            ((_rate("triton_job_seconds_sum", "actor"), "{{actor}}"),),
            stacked=True,
        ),
        Panel(
            "Deaths and releases",
            "Leases lost because a worker died, and jobs that a worker gave back as it ended.",
            "ops",
            (
                (
                    _rate("triton_jobs_total", "queue, event", '{event=~"lease_lost|released"}'),
                    "{{event}} {{queue}}",
                ),
            ),
        ),
    ),
)

_PROJECTIONS = Board(
    "triton-log",
    "Triton / Projections and log",
    "The log, the views that follow it, and its archive.",
    (
        Panel(
            "Events",
            "Events appended, by partition.",
            "ops",
            (
                (
                    "max by (partition) (rate(triton_log_position[$__rate_interval]))",
                    "{{partition}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Events by type",
            "What is appended.",
            "ops",
            ((_rate("triton_events_total", "type"), "{{type}}"),),
        ),
        Panel(
            "Log in Redis",
            "Entries of each partition that did not leave Redis yet.",
            "short",
            (("max by (partition) (triton_log_entries)", "{{partition}}"),),
        ),
        Panel(
            "Projector lag in time",
            "Age of the oldest event that a view does not show.",
            "s",
            (
                (
                    "max by (projector, partition) (triton_projector_lag_seconds)",
                    "{{projector}} {{partition}}",
                ),
            ),
        ),
        Panel(
            "Projector lag in positions",
            "Events behind the log.",
            "short",
            (
                (
                    "max by (projector, partition) (triton_projector_lag_events)",
                    "{{projector}} {{partition}}",
                ),
            ),
        ),
        Panel(
            "Projected",
            "Events applied, by projector and partition.",
            "ops",
            (
                (
                    "max by (projector, partition) (rate(triton_projector_position[$__rate_interval]))",
                    "{{projector}} {{partition}}",
                ),
            ),
        ),
        Panel(
            "Somebody works",
            "Whether a living process holds the lease of each projector and of the archiver.",
            "bool_yes_no",
            (
                (
                    "max by (projector, partition) (triton_projector_running)",
                    "{{projector}} {{partition}}",
                ),
                ("max by (partition) (triton_archiver_running)", "archiver {{partition}}"),
            ),
            kind="stat",
        ),
        Panel(
            "Parked and forked",
            "Events that could not be applied, and logs that are not those that were read: 0 is well.",
            "short",
            (
                (
                    "max by (projector, partition) (triton_projector_parked)",
                    "parked {{projector}} {{partition}}",
                ),
                (
                    "max by (projector, partition) (triton_projector_forked)",
                    "forked {{projector}} {{partition}}",
                ),
            ),
        ),
        Panel(
            "Errors of roles",
            "How often projectors, the archiver and the feed of webhooks halted, waited or were replaced.",
            "short",
            (
                (
                    "max by (role, kind) (increase(triton_role_errors_total[$__rate_interval]))",
                    "{{role}} {{kind}}",
                ),
            ),
        ),
        Panel(
            "Memory of Redis",
            "Used, its limit, and what the log takes of it.",
            "bytes",
            (
                ("max by (node) (triton_redis_memory_bytes)", "used {{node}}"),
                ("max by (node) (triton_redis_memory_limit_bytes)", "limit {{node}}"),
                ("max by (partition) (triton_log_bytes)", "log {{partition}}"),
            ),
        ),
        Panel(
            "Evidence",
            "Age of the newest signed head, and of the oldest event that is not signed or not sealed.",
            "s",
            (
                ("max by (partition) (triton_archive_head_age_seconds)", "head {{partition}}"),
                ("max by (partition) (triton_archive_unsigned_seconds)", "unsigned {{partition}}"),
                ("max by (partition) (triton_archive_unsealed_seconds)", "unsealed {{partition}}"),
            ),
        ),
        Panel(
            "Signed, sealed, trimmed",
            "Positions behind the log's end: what is not signed, not sealed, and still in Redis.",
            "short",
            tuple(
                (
                    "max by (partition) (triton_log_position) - "
                    f"max by (partition) (triton_archive_{name}_position)",
                    f"not {name} {{{{partition}}}}",
                )
                for name in ("signed", "sealed", "trimmed")
            ),
        ),
        Panel(
            "Archive",
            "Bytes of sealed segments, by partition.",
            "bytes",
            (("max by (partition) (triton_archive_bytes)", "{{partition}}"),),
            stacked=True,
        ),
        Panel(
            "Segments",
            "Sealed segments that did not expire.",
            "short",
            (("max by (partition) (triton_archive_segments)", "{{partition}}"),),
        ),
        Panel(
            "Verified",
            "Age of the last `triton audit verify` and `triton verify`.",
            "s",
            (("max by (check) (triton_check_age_seconds)", "{{check}}"),),
            kind="stat",
        ),
        Panel(
            "Free disk",
            "Of the data folder and of an archive that is a folder, on each API process.",
            "percentunit",
            (("triton_disk_free_bytes / triton_disk_bytes", "{{of}} {{instance}}"),),
        ),
    ),
)

_TENANT = '{tenant=~"$tenant"}'


def _tenant(event: str) -> str:
    return f'{{tenant=~"$tenant", event="{event}"}}'


_TENANTS = Board(
    "triton-tenants",
    "Triton / Tenants",
    "What tenants submit, what becomes of it, and their quotas. 100 tenants are told apart.",
    (
        *(
            Panel(
                event.capitalize(),
                f"Jobs {event}, by tenant: the ten with most.",
                "ops",
                (
                    (
                        f"topk(10, {_rate('triton_tenant_jobs_total', 'tenant', _tenant(event))})",
                        "{{tenant}}",
                    ),
                ),
                stacked=True,
            )
            for event in ("submitted", "completed", "failed", "cancelled")
        ),
        Panel(
            "Refused for a quota",
            "Requests answered with 429 because of a quota, by tenant and quota.",
            "reqps",
            (
                (
                    "sum by (tenant, quota) "
                    f"(rate(triton_quota_refused_total{_TENANT}[$__rate_interval]))",
                    "{{tenant}} {{quota}}",
                ),
            ),
        ),
        Panel(
            "Streams of tenants with a quota",
            "Open streams of tenants that have `max_streams`, and that quota, which is of each process.",
            "short",
            (
                (f"sum by (tenant) (triton_quota_streams{_TENANT})", "{{tenant}}"),
                (
                    'max by (tenant) (triton_quota_limit{tenant=~"$tenant", quota="max_streams"})',
                    "quota of {{tenant}}",
                ),
            ),
        ),
        Panel(
            "Quotas",
            "What tenants may use, where they have a quota.",
            "short",
            (
                (
                    f"max by (tenant, quota) (triton_quota_limit{_TENANT})",
                    "{{tenant}} {{quota}}",
                ),
            ),
            kind="stat",
        ),
        Panel(
            "Tenants that fail most",
            "Jobs that failed by jobs that were submitted; the ten tenants where that is most.",
            "percentunit",
            (
                (
                    f"topk(10, {_rate('triton_tenant_jobs_total', 'tenant', _tenant('failed'))} / "
                    + _rate(
                        "triton_tenant_jobs_total",
                        "tenant",
                        '{tenant=~"$tenant", event="submitted"}',
                    )
                    + ")",
                    "{{tenant}}",
                ),
            ),
        ),
    ),
    choice=("tenant", "triton_tenant_jobs_total"),
)
BOARDS = (_API, _JOBS, _WORKERS, _PROJECTIONS, _TENANTS)
