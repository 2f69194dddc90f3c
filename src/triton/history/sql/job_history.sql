-- One page of a job's events from the index, and the position up to which the index is complete for it.
-- A projector that parked an event of the job is complete only up to that event.
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
    WHERE j.job = %(job)s AND j.version > %(version)s AND j.position > %(after)s
      AND j.position <= done.position
    ORDER BY j.version
    LIMIT %(limit)s
) e ON true
ORDER BY e.version
