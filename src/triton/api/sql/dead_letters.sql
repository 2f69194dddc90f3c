-- A page of failed jobs, the last failed first. A filter that is null does not filter.
SELECT *
FROM dead_letters
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(error)s::text IS NULL OR error_type = %(error)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(after)s::timestamptz IS NULL OR failed_at >= %(after)s)
  AND (%(before)s::timestamptz IS NULL OR failed_at < %(before)s)
  AND (%(last_at)s::timestamptz IS NULL OR (failed_at, job) < (%(last_at)s, %(last_job)s))
ORDER BY failed_at DESC, job DESC
LIMIT %(limit)s
