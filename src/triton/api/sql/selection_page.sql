-- A page of those that a dry run saw, oldest first. %(positions)s has for each partition how far the dry run
-- saw the log: with %(by_birth)s the job must have been submitted by then, without it nothing may have
-- happened to it since.
SELECT c.job, c.partition, c.submitted_at
--@include selection
  AND (%(last_at)s::timestamptz IS NULL OR (c.submitted_at, c.job) > (%(last_at)s, %(last_job)s))
  AND CASE WHEN %(by_birth)s
      THEN (SELECT max(e.position) FROM job_events e WHERE e.job = c.job AND e.version = 1)
      ELSE s.position
      END <= (%(positions)s::bigint[])[c.partition + 1]
ORDER BY c.submitted_at, c.job
LIMIT %(limit)s
