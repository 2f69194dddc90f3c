-- Keeps events that could not be applied.
-- %(positions)s, %(jobs)s, %(reasons)s, %(records)s  arrays of the same length
INSERT INTO parked_events (projector, partition, position, job, reason, record)
SELECT %(projector)s, %(partition)s, *
FROM unnest(%(positions)s::bigint[], %(jobs)s::text[], %(reasons)s::text[], %(records)s::bytea[])
