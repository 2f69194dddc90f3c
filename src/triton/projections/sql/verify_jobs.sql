-- Jobs as `verify` compares them: times in microseconds, JSON as text.
SELECT job, tenant, queue, actor, state, attempt, percent, stage, reason, worker, deaths, by, causation,
       correlation, traceparent, cancel_requested, priority, version, partition, position,
       (extract(epoch FROM submitted_at) * 1000000)::bigint AS submitted_at,
       (extract(epoch FROM due_at) * 1000000)::bigint AS due_at,
       (extract(epoch FROM started_at) * 1000000)::bigint AS started_at,
       (extract(epoch FROM finished_at) * 1000000)::bigint AS finished_at,
       (extract(epoch FROM updated_at) * 1000000)::bigint AS updated_at,
       error::text, result::text, args::text, kwargs::text
FROM jobs
WHERE job = ANY(%(jobs)s)
