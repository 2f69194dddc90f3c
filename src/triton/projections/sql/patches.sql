-- Changes jobs that were there before the batch: only what the batch's events touch. A row that is not at
-- the version before its first event is left alone; the caller compares the number of rows.
-- %(rows)s  JSON array of objects: job, expected (version), version, position, at, and of the other names
--           those that were touched. The time 'epoch' clears; error and result are in an array,
--           [null] clears.
UPDATE job_states AS s
SET state = COALESCE(p.state, s.state),
    attempt = COALESCE(p.attempt, s.attempt),
    version = p.version,
    position = p.position,
    percent = COALESCE(p.percent, s.percent),
    stage = COALESCE(p.stage, s.stage),
    worker = COALESCE(p.worker, s.worker),
    deaths = COALESCE(p.deaths, s.deaths),
    cancel_requested = COALESCE(p.cancel_requested, s.cancel_requested),
    reason = COALESCE(p.reason, s.reason),
    due_at = NULLIF(COALESCE(p.due, s.due_at), 'epoch'),
    started_at = NULLIF(COALESCE(p.started, s.started_at), 'epoch'),
    finished_at = NULLIF(COALESCE(p.finished, s.finished_at), 'epoch'),
    updated_at = p.at,
    error = CASE WHEN p.error IS NULL THEN s.error ELSE NULLIF(p.error -> 0, 'null') END,
    result = CASE WHEN p.result IS NULL THEN s.result ELSE NULLIF(p.result -> 0, 'null') END
FROM json_to_recordset(%(rows)s::json) AS p (
    job text, expected integer, version integer, position bigint, at timestamptz, state text, attempt integer,
    percent double precision, stage text, worker text, deaths integer, cancel_requested boolean, reason text,
    due timestamptz, started timestamptz,
    finished timestamptz, error jsonb, result jsonb
)
WHERE s.job = p.job AND s.version = p.expected
