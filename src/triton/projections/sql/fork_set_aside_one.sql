-- Keeps one lost event that only ClickHouse knows.
INSERT INTO lost_events (epoch, partition, position, job, version, type, attempt, at, by, tenant, queue,
                         causation, correlation, traceparent, schema, data)
VALUES (%s, %s, %s, %s, %s, %s, %s, to_timestamp(0) + %s * interval '1 microsecond', %s, %s, %s, %s, %s, %s,
        %s, %s::jsonb)
ON CONFLICT DO NOTHING
