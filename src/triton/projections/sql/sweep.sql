-- Removes the oldest events of a partition that expired, and the jobs that have no later ones. %(most)s: about so
-- many events at once. Answers how many they were.
WITH gone AS (
    DELETE FROM job_events
    WHERE partition = %(partition)s
      AND position <= least(%(until)s,
                            (SELECT min(position) FROM job_events WHERE partition = %(partition)s) + %(most)s)
    RETURNING job
), states AS (
    DELETE FROM job_states s
    USING (SELECT DISTINCT job FROM gone) g
    WHERE s.job = g.job AND s.position <= %(until)s
    RETURNING s.job
), submissions AS (
    DELETE FROM job_submissions c USING states s WHERE c.job = s.job
)
SELECT count(*) FROM gone
