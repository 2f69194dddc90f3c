-- Failed jobs counted by what %(by)s names; what is not named is null in every row. Largest groups first.
SELECT CASE WHEN 'actor' = ANY(%(by)s) THEN actor END AS actor,
       CASE WHEN 'error' = ANY(%(by)s) THEN error_type END AS error,
       CASE WHEN 'reason' = ANY(%(by)s) THEN reason END AS reason,
       CASE WHEN 'queue' = ANY(%(by)s) THEN queue END AS queue,
       CASE WHEN 'tenant' = ANY(%(by)s) THEN tenant END AS tenant,
       CASE WHEN 'day' = ANY(%(by)s) THEN date_trunc('day', failed_at, 'UTC')
            WHEN 'hour' = ANY(%(by)s) THEN date_trunc('hour', failed_at, 'UTC') END AS since,
       count(*) AS count, min(failed_at) AS first_at, max(failed_at) AS last_at,
       (sum(count(*)) OVER ())::bigint AS total
FROM failed_jobs
WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(error)s::text IS NULL OR error_type = %(error)s)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(after)s::timestamptz IS NULL OR failed_at >= %(after)s)
  AND (%(before)s::timestamptz IS NULL OR failed_at < %(before)s)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY count DESC, last_at DESC
LIMIT %(limit)s
