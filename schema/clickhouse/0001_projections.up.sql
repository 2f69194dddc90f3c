-- What the ClickHouse projector writes, and the views to read. Everything here is exact however often a
-- batch is inserted, and however it is cut: a repeated event is the same row, and no aggregate counts.

-- Every event once, after replacement: the key holds nothing that can change, and the month is the event's
-- own. `data` is the event's data as JSON; binary values are base64.
CREATE TABLE IF NOT EXISTS job_events
(
    partition   UInt32,
    position    UInt64,
    job         String,
    version     UInt32,
    type        LowCardinality(String),
    attempt     UInt32,
    at          DateTime64(6, 'UTC'),
    by          LowCardinality(String),
    tenant      LowCardinality(String),
    queue       LowCardinality(String),
    causation   String,
    correlation String,
    traceparent String,
    schema      UInt16,
    data        String CODEC(ZSTD(1)),
    -- Computed when they are asked for.
    actor       String ALIAS if(type = 'job.submitted', JSONExtractString(data, 'actor'), ''),
    due_at      Nullable(DateTime64(6, 'UTC')) ALIAS if(type = 'job.submitted' AND JSONHas(data, 'due'), fromUnixTimestamp64Micro(JSONExtractInt(data, 'due'), 'UTC'), NULL),
    error       String ALIAS if(type IN ('job.failed', 'job.retry_scheduled'), JSONExtractString(data, 'error', 'type'), ''),
    INDEX by_position position TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (at, partition, position)
SETTINGS non_replicated_deduplication_window = 1000;

-- One row per job after merging: only least and greatest values, which no repetition changes.
CREATE TABLE IF NOT EXISTS job_times
(
    tenant       LowCardinality(String),
    queue        LowCardinality(String),
    job          String,
    actor        SimpleAggregateFunction(max, String),
    submitted_at SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    ready_at     SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    started_at   SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    restarted_at SimpleAggregateFunction(max, Nullable(DateTime64(6, 'UTC'))),
    finished_at  SimpleAggregateFunction(max, Nullable(DateTime64(6, 'UTC')))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, queue, job)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS job_times_fill TO job_times AS
SELECT
    tenant, queue, job,
    max(if(type = 'job.submitted', JSONExtractString(data, 'actor'), '')) AS actor,
    min(if(type = 'job.submitted', at, NULL)) AS submitted_at,
    min(if(type = 'job.submitted', if(JSONExtractInt(data, 'due') > 0, fromUnixTimestamp64Micro(JSONExtractInt(data, 'due'), 'UTC'), at), NULL)) AS ready_at,
    min(if(type = 'job.started', at, NULL)) AS started_at,
    max(if(type = 'job.started', at, NULL)) AS restarted_at,
    max(if(type IN ('job.completed', 'job.failed', 'job.cancelled'), at, NULL)) AS finished_at
FROM job_events
WHERE type IN ('job.submitted', 'job.started', 'job.completed', 'job.failed', 'job.cancelled')
GROUP BY tenant, queue, job;

CREATE VIEW IF NOT EXISTS throughput_per_minute AS
SELECT
    toStartOfMinute(at) AS minute, tenant, queue,
    countIf(type = 'job.submitted') AS submitted,
    countIf(type = 'job.started') AS started,
    countIf(type = 'job.completed') AS completed,
    countIf(type = 'job.failed') AS failed,
    countIf(type = 'job.cancelled') AS cancelled,
    count() AS events
FROM job_events FINAL
GROUP BY minute, tenant, queue;

-- Of the jobs that ended in the minute. Milliseconds: wait from when the job might start to its first start,
-- run from its last start to its end. The quantiles are exact.
CREATE VIEW IF NOT EXISTS latency_per_minute AS
SELECT
    toStartOfMinute(ended) AS minute, tenant, queue, actor,
    count() AS jobs,
    quantileExact(0.5)(wait) AS wait_p50_ms,
    quantileExact(0.95)(wait) AS wait_p95_ms,
    quantileExact(0.99)(wait) AS wait_p99_ms,
    quantileExact(0.5)(run) AS run_p50_ms,
    quantileExact(0.95)(run) AS run_p95_ms,
    quantileExact(0.99)(run) AS run_p99_ms
FROM
(
    SELECT
        tenant, queue, job,
        max(t.actor) AS actor,
        assumeNotNull(max(t.finished_at)) AS ended,
        (toUnixTimestamp64Micro(assumeNotNull(min(t.started_at)))
            - toUnixTimestamp64Micro(assumeNotNull(min(t.ready_at)))) / 1000 AS wait,
        (toUnixTimestamp64Micro(ended) - toUnixTimestamp64Micro(assumeNotNull(max(t.restarted_at)))) / 1000 AS run
    FROM job_times AS t
    GROUP BY tenant, queue, job
    HAVING isNotNull(max(t.finished_at)) AND isNotNull(min(t.started_at)) AND isNotNull(min(t.ready_at))
)
GROUP BY minute, tenant, queue, actor;

-- Attempts that failed, by what they raised. ended: the job failed for good; retried: another attempt follows;
-- lost: the worker died.
CREATE VIEW IF NOT EXISTS failures_per_minute AS
SELECT
    toStartOfMinute(at) AS minute, tenant, queue, error,
    countIf(type = 'job.failed') AS ended,
    countIf(type = 'job.retry_scheduled') AS retried,
    countIf(type = 'job.lease_lost') AS lost
FROM job_events FINAL
WHERE type IN ('job.failed', 'job.retry_scheduled', 'job.lease_lost')
GROUP BY minute, tenant, queue, error;
