"""Makes the reference page of the metrics from their catalogue."""

from __future__ import annotations

from triton.api.metrics.catalogue import METRICS
from triton.api.metrics.families import MOST

_HEAD = f"""# Metrics

Made from `src/triton/api/metrics/catalogue.py` by `tools/reference.py`.

`GET /metrics` answers in Prometheus' text format, to who may `metrics.read`. `deploy/observability/` has a
configuration for Prometheus, alert rules and Grafana dashboards ([guide](../guides/watch.md)); each alert
has a page in [runbooks](../runbooks/README.md).

**Several processes.** Each API process answers for itself, and is a target of its own: scrape each at its
own address, not through a balancer. There are three kinds of figures, and a process that ends leaves none
of them behind:

- what a process counts of its own requests and streams: `sum` over the processes;
- what each process counts of the log, since it began: all of them see all of it, so take `max`, and of
  rates too: `max by (queue) (rate(triton_jobs_total{{event="completed"}}[5m]))`;
- what is read from Redis and PostgreSQL at each scrape, and is the same whoever says it: take `max`.

Workers, projectors and the archiver have no port. Workers say in Redis how they are, with the heartbeats
that keep their leases; projectors and the archiver in PostgreSQL, with their checkpoints. So it makes no
difference how many stand by.

**Labels.** No label holds a path, a job, an id or anything else that a client makes up without bound.
Requests carry the template of their route. Of queues, actors and tenants {MOST} each are told apart, and
the rest is one series, `(others)`: in gauges of queues those with most jobs, in counters those that a
process saw first, because a counter must never change its name.

**Counting the log.** What a process remembers of jobs that are not ended is bounded. Above 20,000 of them,
`actor_jobs`, `job_seconds` and `job_wait_seconds` are of a sample, scaled up; the other counters are exact.
Prometheus sees a counter begin anew with each process; `rate` and `increase` know that.
`triton_jobs_total` is 0 for each queue that jobs or a living worker name, where there are at most {MOST}: a
new queue's first burst counts where Prometheus looked once before it.

**Errors of roles** without a port, `triton_role_errors_total`, are counted in Redis, unless Redis
itself is away. Their reasons are in those processes' logs."""
_TITLES = {
    "process": "Of one process: add up",
    "log": "Counted of the log by each process: take the greatest",
    "platform": "Of the platform: take the greatest",
}


def metrics_page() -> str:
    parts = [_HEAD]
    for scope, title in _TITLES.items():
        rows = [
            f"| `{one.name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.unit} "
            f"| {one.about} |"
            for one in METRICS
            if one.of == scope
        ]
        if scope == "process":
            about = "memory, CPU, descriptors, garbage collection"
            rows.append(f"| `process_*`, `python_*` | | | | of the Python client: {about} |")
        head = "| metric | type | labels | unit | meaning |\n|---|---|---|---|---|"
        parts += [f"## {title}", "\n".join([head, *rows])]
    return "\n\n".join(parts) + "\n"
