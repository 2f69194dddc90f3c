-- What is set aside between two positions, as `verify_events.sql` has what is not.
SELECT position, job, version, type, attempt, (extract(epoch FROM at) * 1000000)::bigint, by, tenant, queue,
       causation, correlation, traceparent, schema, data::text
FROM lost_events
WHERE partition = %(partition)s AND epoch = %(epoch)s AND position BETWEEN %(first)s AND %(last)s
ORDER BY position
