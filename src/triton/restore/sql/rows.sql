-- The events of a partition after a position, as `entries` takes them.
SELECT partition, position, job, version, type, attempt, (extract(epoch FROM at) * 1000000)::bigint AS at, by,
       tenant, queue, causation, correlation, traceparent, schema, data::text AS data
FROM job_events
WHERE partition = %(partition)s AND position > %(after)s
ORDER BY position
LIMIT %(limit)s
