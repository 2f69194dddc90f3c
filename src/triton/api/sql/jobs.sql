-- A page of jobs, newest first. A filter that is null does not filter. The first part picks the page from
-- the cold table by its indexes; the state is looked up per row.
SELECT j.*
FROM jobs j
WHERE (%(tenant)s::text IS NULL OR j.tenant = %(tenant)s)
  AND (%(queue)s::text IS NULL OR j.queue = %(queue)s)
  AND (%(actor)s::text IS NULL OR j.actor = %(actor)s)
  AND (%(states)s::text[] IS NULL OR j.state = ANY(%(states)s))
  AND (%(after)s::timestamptz IS NULL OR j.submitted_at >= %(after)s)
  AND (%(before)s::timestamptz IS NULL OR j.submitted_at < %(before)s)
  AND (%(last_at)s::timestamptz IS NULL OR (j.submitted_at, j.job) < (%(last_at)s, %(last_job)s))
ORDER BY j.submitted_at DESC, j.job DESC
LIMIT %(limit)s
