-- The newest events of a job from the index, without what it says of itself while it runs; and the position
-- up to which the index is complete for the job (see history/sql/job_history.sql).
WITH done AS (
    SELECT least(c.position, (SELECT min(p.position) - 1 FROM parked_events p
                              WHERE p.projector = c.projector AND p.job = %(job)s)) AS position
    FROM checkpoints c
    WHERE c.projector = %(projector)s AND c.partition = %(partition)s AND c.epoch = %(epoch)s
)
SELECT done.position AS complete_to, e.position, e.version, e.type, e.attempt, e.at, e.by, e.tenant,
       e.queue, e.causation, e.correlation, e.traceparent, e.schema, e.data
FROM done
LEFT JOIN LATERAL (
    SELECT * FROM job_events j
    WHERE j.job = %(job)s AND j.position <= done.position AND j.type <> ALL(%(talk)s)
    ORDER BY j.version DESC
    LIMIT %(limit)s
) e ON true
ORDER BY e.version
