-- The same from ClickHouse.
SELECT position, job, version, type, attempt, toUnixTimestamp64Micro(at), by, tenant, queue,
       causation, correlation, traceparent, schema, data
FROM job_events FINAL
WHERE partition = {partition:UInt32} AND position BETWEEN {first:UInt64} AND {last:UInt64}
ORDER BY position
