-- Makes the rows of holds and retention out of their events, where they are missing: the tables were made anew. Events
-- come in order, and a batch's are in job_events. What is there already, whoever said it wrote first. An event leaves
-- out what is empty or 0.
-- %(partition)s, %(positions)s  the events
WITH said AS (
    SELECT position, type, by, at, data ->> 'hold' AS hold, data ->> 'scope' AS scope, data ->> 'value' AS value,
           coalesce(data ->> 'reason', '') AS reason, coalesce(data ->> 'tenant', '') AS tenant,
           coalesce(data ->> 'queue', '') AS queue, coalesce((data ->> 'days')::integer, 0) AS days
    FROM job_events
    WHERE partition = %(partition)s AND position = ANY(%(positions)s)
), placed AS (
    INSERT INTO holds (hold, scope, value, reason, placed_by, placed_at, lifted_by, lifted_at, lifted_why)
    SELECT p.hold, p.scope, p.value, p.reason, p.by, p.at, l.by, l.at, l.reason
    FROM said p
    LEFT JOIN said l ON l.type = 'hold.lifted' AND l.hold = p.hold
    WHERE p.type = 'hold.placed' AND p.scope IN ('tenant', 'queue', 'job') AND p.value <> ''
    ON CONFLICT (hold) DO NOTHING
), lifted AS (
    UPDATE holds h
    SET lifted_by = l.by, lifted_at = l.at, lifted_why = l.reason
    FROM said l
    WHERE l.type = 'hold.lifted' AND l.hold = h.hold AND h.lifted_at IS NULL
)
INSERT INTO retention AS r (tenant, queue, days, reason, set_by, set_at)
SELECT DISTINCT ON (tenant, queue) tenant, queue, days, reason, by, at
FROM said
WHERE type = 'retention.set' AND days >= 0
ORDER BY tenant, queue, position DESC
ON CONFLICT (tenant, queue) DO UPDATE
SET days = excluded.days, reason = excluded.reason, set_by = excluded.set_by, set_at = excluded.set_at
WHERE r.set_at < excluded.set_at
