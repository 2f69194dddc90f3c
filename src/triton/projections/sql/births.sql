-- Writes jobs that were submitted in the batch, whole. A job id that comes back after its first life was
-- forgotten replaces the old row.
-- %(rows)s  JSON array of objects with the names below; times in microseconds since 1970, 0 for none
WITH born AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS b (
        job text, tenant text, queue text, actor text, priority integer, submitted bigint, by text,
        causation text, correlation text, traceparent text, args jsonb, kwargs jsonb, partition integer,
        state text, attempt integer, version integer, position bigint, percent double precision, stage text,
        worker text, deaths integer, cancel_requested boolean, reason text, due bigint, started bigint,
        finished bigint, at bigint, error jsonb, result jsonb
    )
), submissions AS (
    INSERT INTO job_submissions (job, tenant, queue, actor, priority, submitted_at, by, causation,
                                 correlation, traceparent, args, kwargs, partition)
    SELECT job, tenant, queue, actor, priority, log_time(submitted), by, causation,
           correlation, traceparent, args, kwargs, partition
    FROM born
    ON CONFLICT (job) DO UPDATE SET
        tenant = excluded.tenant, queue = excluded.queue, actor = excluded.actor,
        priority = excluded.priority, submitted_at = excluded.submitted_at, by = excluded.by,
        causation = excluded.causation, correlation = excluded.correlation,
        traceparent = excluded.traceparent, args = excluded.args, kwargs = excluded.kwargs,
        partition = excluded.partition
)
INSERT INTO job_states (job, state, attempt, version, position, percent, stage, worker, deaths,
                        cancel_requested, reason, due_at, started_at, finished_at, updated_at, error, result)
SELECT job, state, attempt, version, position, percent, stage, worker, deaths, cancel_requested, reason,
       NULLIF(log_time(due), 'epoch'), NULLIF(log_time(started), 'epoch'),
       NULLIF(log_time(finished), 'epoch'), log_time(at), error, result
FROM born
ON CONFLICT (job) DO UPDATE SET
    state = excluded.state, attempt = excluded.attempt, version = excluded.version,
    position = excluded.position, percent = excluded.percent, stage = excluded.stage,
    worker = excluded.worker, deaths = excluded.deaths, cancel_requested = excluded.cancel_requested,
    reason = excluded.reason, due_at = excluded.due_at, started_at = excluded.started_at,
    finished_at = excluded.finished_at, updated_at = excluded.updated_at, error = excluded.error,
    result = excluded.result
WHERE job_states.position < excluded.position
