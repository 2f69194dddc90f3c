-- The events of a partition up to a position, each once.
SELECT uniqExact(position) FROM job_events
WHERE partition = {partition:UInt32} AND position BETWEEN {expired:UInt64} + 1 AND {position:UInt64}
