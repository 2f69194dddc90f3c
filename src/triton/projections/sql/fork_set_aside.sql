-- Keeps the lost events that PostgreSQL knows.
INSERT INTO lost_events (epoch, partition, position, job, version, type, attempt, at, by, tenant, queue,
                         causation, correlation, traceparent, schema, data)
SELECT %(epoch)s, partition, position, job, version, type, attempt, at, by, tenant, queue,
       causation, correlation, traceparent, schema, data
FROM job_events
WHERE partition = %(partition)s AND position > %(common)s
ON CONFLICT DO NOTHING
