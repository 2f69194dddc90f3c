-- Adds history: tab-separated lines in the order of `triton.projections.rows.COLUMNS`.
COPY job_events (partition, position, job, version, type, attempt, at, by, tenant, queue, causation,
                 correlation, traceparent, schema, data) FROM STDIN
