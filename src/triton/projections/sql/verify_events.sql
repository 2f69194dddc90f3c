-- The history between two positions, as `verify` compares it.
SELECT position, job, version, type, attempt, (extract(epoch FROM at) * 1000000)::bigint, by, tenant, queue,
       causation, correlation, traceparent, schema, data::text
FROM job_events
WHERE partition = %(partition)s AND position BETWEEN %(first)s AND %(last)s
ORDER BY position
